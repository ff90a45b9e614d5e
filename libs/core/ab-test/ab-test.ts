import type { Scale } from '../statistics/effect.js';
import type { ArmSums } from '../statistics/sums.js';
import type { GroupHistogram } from './histogram.js';
import type { Direction, HistogramFact } from './metrics.js';

/** What a test is judged by. Fixed when it starts. */
export interface AbTestRules {
  /** Name of the arm the others are held against. */
  readonly control: string;
  readonly primary: { readonly metric: string; readonly direction?: Direction };
  readonly guardrails: readonly Guardrail[];
  /** Metrics that are shown and corrected for, and decide nothing. */
  readonly secondary?: readonly { readonly metric: string; readonly direction?: Direction }[];
  /** Scale of the effects that are decided by. Relative (0.05 is 5 %) unless said. */
  readonly scale?: Scale;
  /** The smallest improvement of the primary metric that matters, above 0, in `scale`. */
  readonly minimumEffect: number;
  /** Days after which a decision is due whatever is known. */
  readonly maximumDays: number;
  /** 0.05 unless said. */
  readonly alpha?: number;
  /** 0.8 unless said. */
  readonly power?: number;
  /** Units at which always-valid intervals are narrowest; 5000 unless said. */
  readonly tunedUnits?: number;
  /** Fewest units in every arm before anything is decided; 100 unless said. */
  readonly minimumUnits?: number;
}

/** A metric that must not become worse by more than a margin. */
export interface Guardrail {
  readonly metric: string;
  readonly direction?: Direction;
  /** How much worse is tolerated, 0 or more, in `scale`: 0.1 lets the metric be 10 % worse. */
  readonly margin: number;
  /** Relative unless said. */
  readonly scale?: Scale;
}

/** One arm of one phase. */
export interface ArmInput {
  readonly arm: string;
  /** Digest of its chain version: arms of different phases are the same treatment only if it is the same. */
  readonly chainDigest: string;
  readonly weightBps: number;
  /** Units seen in the arm, each once; without those pinned by an override. A request without a unit is a unit of its own. */
  readonly units: number;
  /** Of these, units that no earlier phase has seen, if known: what the sample ratio of a later phase is told by. */
  readonly newcomers?: number;
  readonly requests: number;
  /** Requests that came without a unit (part of `requests`), if known. */
  readonly requestsWithoutUnit?: number;
  /** Requests that failed or were interrupted, if known: for the cause of a sample-ratio mismatch. */
  readonly errors?: number;
  /** Requests whose gateway died before they ended, if known. */
  readonly interrupted?: number;
  /** By name of a metric that sums tell. Missing: nothing is known. */
  readonly sums: Readonly<Record<string, ArmSums>>;
  readonly histograms?: Readonly<Partial<Record<HistogramFact, readonly GroupHistogram[]>>>;
}

/** One split revision while the test ran. */
export interface PhaseInput {
  readonly splitRevision: number;
  /** RFC 3339. */
  readonly startedAt: string;
  /** null: in force. */
  readonly endedAt: string | null;
  /** Arms of the split, those with weight 0 too. */
  readonly arms: readonly ArmInput[];
  /** Units of arms that the split does not have (late rows of a gateway that is behind): arm → units. */
  readonly strangers?: Readonly<Record<string, number>>;
  /** Rows left out because the unit was pinned by an override, and copies of shadows. */
  readonly overrideRequests?: number;
  readonly shadowRequests?: number;
  /** Units of this phase that were seen in an earlier phase of the test; unknown counts as all. */
  readonly returningUnits?: number;
}

/** All that a reading of a test is computed from; no clock: `now` is given. */
export interface AbTestInput {
  readonly rules: AbTestRules;
  /** In order of time. */
  readonly phases: readonly PhaseInput[];
  /** RFC 3339: when the test started, and the moment of reading (its end once stopped). */
  readonly startedAt: string;
  readonly now: string;
  /** New units a day over the last days, if known; else units so far per day so far. */
  readonly unitsPerDay?: number;
  /** Seconds since the newest row the sums hold, if rows are known to wait: for the cause of a mismatch. */
  readonly lagSeconds?: number;
}
