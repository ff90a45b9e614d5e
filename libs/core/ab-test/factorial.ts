import type { Effect } from '../statistics/effect.js';
import type { Estimate } from '../statistics/estimate.js';
import { alwaysValid } from '../statistics/always-valid.js';
import { factorialEffects } from '../statistics/factorial.js';
import { fixedHorizon } from '../statistics/fixed-horizon.js';
import { holm } from '../statistics/holm.js';
import { jsonInterval } from './comparison.js';
import { finite, type ArmResult, type MaybeNumber, type TestReading } from './results.js';

/** Two factors (prompt × model) and the level of each that every arm has. */
export interface FactorialDesign {
  readonly names: readonly [string, string];
  readonly arms: readonly { readonly arm: string; readonly levels: readonly [string, string] }[];
}

export interface FactorialEffect {
  readonly kind: 'main' | 'interaction';
  /** `prompt: v2 − v1`, or `prompt v2 × model large`. */
  readonly name: string;
  /** Absolute, in the metric's unit. */
  readonly estimate: number;
  readonly standardError: MaybeNumber;
  readonly alwaysValid: TestReading;
  readonly fixedHorizon: TestReading;
}

/**
 * Main effects and interactions of a metric, each level against the first of its factor, from the arms' results; Holm over all of them.
 * Arms take their values over all phases, so splits should not change while a factorial test runs.
 * @param control arm whose levels are the first ones.
 * @returns undefined while an arm has no value.
 * @throws RangeError unless every pair of levels has an arm, and each factor two levels.
 */
export function factorialResult(
  design: FactorialDesign,
  control: string,
  arms: readonly ArmResult[],
  metric: string,
  { alpha, tunedUnits }: { readonly alpha: number; readonly tunedUnits: number },
): FactorialEffect[] | undefined {
  const base = design.arms.find(({ arm }) => arm === control)?.levels;
  const levels = ([0, 1] as const).map((factor) => [
    ...new Set([...(base ? [base[factor]] : []), ...design.arms.map((arm) => arm.levels[factor])]),
  ]);
  const [rows, columns] = levels as [string[], string[]];
  const grid = rows.map((row) =>
    columns.map((column) => {
      const cell = design.arms.find((arm) => arm.levels[0] === row && arm.levels[1] === column);
      if (!cell)
        throw new RangeError(
          `No arm has ${design.names[0]} "${row}" with ${design.names[1]} "${column}"; a factorial test needs every pair.`,
        );
      return estimateOf(
        arms.find(({ arm }) => arm === cell.arm),
        metric,
      );
    }),
  );
  if (grid.some((row) => row.includes(undefined))) return undefined;
  const effects = factorialEffects(grid as Estimate[][]);
  const named: [FactorialEffect['kind'], string, Effect][] = [
    ...effects.rows.map((effect, i): (typeof named)[number] => [
      'main',
      `${design.names[0]}: ${rows[i + 1]} − ${rows[0]}`,
      effect,
    ]),
    ...effects.columns.map((effect, j): (typeof named)[number] => [
      'main',
      `${design.names[1]}: ${columns[j + 1]} − ${columns[0]}`,
      effect,
    ]),
    ...effects.interactions.flatMap((row, i) =>
      row.map((effect, j): (typeof named)[number] => [
        'interaction',
        `${design.names[0]} ${rows[i + 1]} × ${design.names[1]} ${columns[j + 1]}`,
        effect,
      ]),
    ),
  ];
  const always = named.map(([, , effect]) => alwaysValid(effect, { alpha, tunedUnits }));
  const once = named.map(([, , effect]) => fixedHorizon(effect, { alpha }));
  const adjusted = [always, once].map((results) => holm(results.map(({ pValue }) => pValue)));
  const reading = (found: { interval: { lower: number; upper: number }; pValue: number }, by: number) => ({
    interval: jsonInterval(found.interval),
    pValue: found.pValue,
    adjustedPValue: by,
  });
  return named.map(([kind, name, effect], i) => ({
    kind,
    name,
    estimate: effect.estimate,
    standardError: finite(effect.standardError),
    alwaysValid: reading(always[i]!, adjusted[0]![i]!),
    fixedHorizon: reading(once[i]!, adjusted[1]![i]!),
  }));
}

function estimateOf(arm: ArmResult | undefined, name: string): Estimate | undefined {
  const found = arm?.metrics.find(({ metric }) => metric === name);
  if (!arm || !found || found.value === null) return undefined;
  const variance = found.standardError === null ? Infinity : found.standardError ** 2 * arm.units;
  return { units: arm.units, value: found.value, variance, thin: false };
}
