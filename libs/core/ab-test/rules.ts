import type { Scale } from '../statistics/effect.js';
import { TUNED_UNITS } from '../statistics/always-valid.js';
import type { AbTestRules, Guardrail } from './ab-test.js';
import { findMetric, metricProblem, type Direction, type Metric } from './metrics.js';
import type { MetricRole } from './results.js';

/** A metric of a test, with what the test says about it. */
export interface JudgedMetric {
  readonly metric: Metric;
  readonly role: MetricRole;
  readonly direction: Direction;
  readonly guardrail?: Guardrail;
}

/** Rules with their defaults. */
export interface SettledRules {
  readonly control: string;
  /** The primary metric first. */
  readonly metrics: readonly JudgedMetric[];
  readonly scale: Scale;
  readonly minimumEffect: number;
  readonly maximumDays: number;
  readonly alpha: number;
  readonly power: number;
  readonly tunedUnits: number;
  readonly minimumUnits: number;
}

/** Fewest units per arm before a decision, unless said. */
export const MINIMUM_UNITS = 100;

/** @throws RangeError for a metric that does not exist. */
export function settleRules(rules: AbTestRules): SettledRules {
  const judged = (
    { metric: name, direction }: { readonly metric: string; readonly direction?: Direction },
    role: MetricRole,
  ): JudgedMetric => {
    const metric = findMetric(name);
    if (!metric) throw new RangeError(metricProblem(name));
    return { metric, role, direction: direction ?? metric.direction };
  };
  return {
    control: rules.control,
    metrics: [
      judged(rules.primary, 'primary'),
      ...rules.guardrails.map((guardrail) => ({ ...judged(guardrail, 'guardrail'), guardrail })),
      ...(rules.secondary ?? []).map((metric) => judged(metric, 'secondary')),
    ],
    scale: rules.scale ?? 'relative',
    minimumEffect: rules.minimumEffect,
    maximumDays: rules.maximumDays,
    alpha: rules.alpha ?? 0.05,
    power: rules.power ?? 0.8,
    tunedUnits: rules.tunedUnits ?? TUNED_UNITS,
    minimumUnits: rules.minimumUnits ?? MINIMUM_UNITS,
  };
}
