import { acrossPhases } from './across-phases.js';
import type { ArmInput } from './ab-test.js';
import type { ArmPair } from './comparison.js';
import { normalQuantile } from '../statistics/distributions.js';
import type { Estimate } from '../statistics/estimate.js';
import { pairOf } from './contrasts.js';
import { percent } from './words.js';

/** What a failed request has little of: an arm that is down looks quick and cheap. */
const LESS_WHEN_FAILING: ReadonlySet<string> = new Set(['ms', 'micro_usd', 'tokens']);

/**
 * Standard errors from which on an arm counts as failing: one look's p below 0.001, as of the sample-ratio alarm. Not an always-valid bound:
 * a broken control is to be seen before cost and latency, whose differences it makes, are proven, and those are with 20 units.
 */
const FAILING = normalQuantile(0.999);

/** An arm that fails more than the one it is held against. */
export interface FailingArm {
  readonly isControl: boolean;
  readonly sentence: string;
}

/** Whether values of this unit fall when requests fail. */
export function fallsWithFailures(unit: string): boolean {
  return LESS_WHEN_FAILING.has(unit);
}

/** The arm whose requests fail more, if it can be told: from the arms' counts, every unit as if all its requests went one way. */
export function failingArm(pairs: readonly ArmPair[]): FailingArm | undefined {
  const phases = pairs.flatMap((pair) => {
    const control = failures(pair.control);
    const treatment = failures(pair.treatment);
    return control && treatment ? [pairOf(pair, control, treatment, true)] : [];
  });
  if (phases.length === 0) return undefined;
  const { estimate, cautiousError } = acrossPhases(phases, (c, t) => ({ value: t - c, slopes: [-1, 1] }))!;
  if (Math.abs(estimate) / cautiousError <= FAILING) return undefined;
  const isControl = estimate < 0;
  const [bad, good] = isControl ? (['control', 'treatment'] as const) : (['treatment', 'control'] as const);
  const shareOf = (which: 'control' | 'treatment') => {
    const arms = pairs.map((pair) => pair[which]);
    const sum = (of: (arm: ArmInput) => number) => arms.reduce((total, arm) => total + of(arm), 0);
    return percent(sum(({ errors }) => errors ?? 0) / sum(({ requests }) => requests));
  };
  const { arm } = pairs.at(-1)![bad];
  return {
    isControl,
    sentence: `${shareOf(bad)} of the requests of "${arm}" fail, ${shareOf(good)} of "${pairs.at(-1)![good].arm}", and a failed request takes little time, money or tokens; look at the errors of "${arm}" first.`,
  };
}

function failures({ errors, requests, units }: ArmInput): Estimate | undefined {
  if (errors === undefined || requests === 0 || units === 0) return undefined;
  const value = Math.min(1, errors / requests);
  return { units, value, variance: value * (1 - value), thin: Math.min(value, 1 - value) * units < 5 };
}
