import type { Direction } from './metrics.js';

/** JSON has no Infinity and no NaN: null is "not known" (an interval without an end, a value over no units). */
export type MaybeNumber = number | null;

export interface ResultInterval {
  readonly lower: MaybeNumber;
  readonly upper: MaybeNumber;
}

/** A difference of a treatment to control, read in three ways. */
export interface Reading {
  readonly estimate: number;
  readonly standardError: MaybeNumber;
  /** Safe to look at as often as one likes. Decisions go by it. */
  readonly alwaysValid: TestReading;
  /** Right for one look, at a moment set before the start. */
  readonly fixedHorizon: TestReading;
  /** P(treatment better), flat prior, normal approximation; not safe against looking often. */
  readonly chanceToWin: number;
  /** What shipping costs on average if it is not better, and what keeping control costs; in the reading's scale. */
  readonly lossOfShipping: MaybeNumber;
  readonly lossOfKeeping: MaybeNumber;
}

export interface TestReading {
  readonly interval: ResultInterval;
  readonly pValue: number;
  /** Holm: of the primary metric over the treatments, of the others over all metrics and treatments. */
  readonly adjustedPValue: number;
}

export type MetricRole = 'primary' | 'guardrail' | 'secondary';

export interface MetricResult {
  readonly metric: string;
  readonly role: MetricRole;
  readonly direction: Direction;
  readonly unit: string;
  /** Over control's and the treatment's units; null while there is nothing to compare. */
  readonly absolute: Reading | null;
  /** As a share of control's value; null where that is 0, too. */
  readonly relative: Reading | null;
  /** How far a pre-period covariate narrowed it: share of the variance that is gone; null where none was used. */
  readonly cuped: { readonly theta: number; readonly varianceReduction: number } | null;
  /** Of guardrails. */
  readonly guardrail: GuardrailResult | null;
}

export interface GuardrailResult {
  /** How much worse is tolerated, in `scale`. */
  readonly margin: number;
  readonly scale: 'absolute' | 'relative';
  /** `breached`: worse than tolerated, proven at every look. `held`: within, proven. `open`: neither. */
  readonly state: 'breached' | 'held' | 'open';
  /** How far beyond the margin the treatment is at least, and at most (below 0: within), in the metric's unit. */
  readonly beyondAtLeast: MaybeNumber;
  readonly beyondAtMost: MaybeNumber;
}

export interface ArmMetric {
  readonly metric: string;
  readonly unit: string;
  readonly value: MaybeNumber;
  readonly standardError: MaybeNumber;
  /** 1 − alpha, for one look. */
  readonly interval: ResultInterval;
}

export interface ArmResult {
  readonly arm: string;
  readonly isControl: boolean;
  /** Over the phases that are analysed together. */
  readonly units: number;
  readonly requests: number;
  readonly metrics: readonly ArmMetric[];
}

export interface SampleRatioResult {
  readonly alarm: boolean;
  readonly pValue: number;
  readonly statistic: MaybeNumber;
  readonly expectedUnits: readonly { readonly arm: string; readonly units: number }[];
  /** The likely cause, in a sentence; null without alarm. */
  readonly cause: string | null;
}

export interface PhaseResult {
  readonly splitRevision: number;
  readonly startedAt: string;
  readonly endedAt: string | null;
  readonly arms: readonly {
    readonly arm: string;
    readonly weightBps: number;
    readonly units: number;
    readonly requests: number;
  }[];
  readonly sampleRatio: SampleRatioResult;
  /** Whether any comparison uses it; else why not. */
  readonly analysed: boolean;
  readonly whyNot: string | null;
}

export interface TreatmentResult {
  readonly arm: string;
  /** Split revisions whose differences are combined, each difference taken within its phase. */
  readonly phases: readonly number[];
  /** In these phases. */
  readonly units: { readonly control: number; readonly treatment: number };
  readonly metrics: readonly MetricResult[];
}

export type Verdict = 'ship' | 'roll_back' | 'keep_running';

export type Reason =
  | 'better'
  | 'worse'
  | 'guardrail_breached'
  | 'sample_ratio_mismatch'
  | 'too_small_to_matter'
  | 'maximum_duration'
  | 'guardrail_open'
  | 'not_enough_units'
  | 'undecided';

export interface Decision {
  readonly decision: Verdict;
  readonly reason: Reason;
  /** The arm to ship, or the one the reason is about; null where it is about all. */
  readonly arm: string | null;
  /** Plain words, with the figures. */
  readonly sentence: string;
  /** Until there are enough units for the minimum effect, if that can be told. */
  readonly daysLeft: MaybeNumber;
  readonly unitsNeeded: MaybeNumber;
}

/** Everything a reading of a test says. JSON-safe. */
export interface AbTestAnalysis {
  readonly arms: readonly ArmResult[];
  readonly treatments: readonly (TreatmentResult & { readonly decision: Decision })[];
  readonly phases: readonly PhaseResult[];
  /** Of the phases that are analysed: an alarm that concerns the test, or else the last phase's figures. */
  readonly sampleRatio: SampleRatioResult;
  readonly decision: Decision;
  /** What a reader must know beside the numbers: phases left out, returning units, resolution of quantiles. */
  readonly notes: readonly string[];
}

/** null for what JSON cannot say. */
export function finite(value: number | undefined): MaybeNumber {
  return value !== undefined && Number.isFinite(value) ? value : null;
}
