import type { AbTestAnalysis, Decision } from './results.js';
import { whyNotNow, type Schedule } from './schedule.js';
import { number } from './words.js';

/** Shares of the traffic that go to treatments, step by step, in basis points: 1, 5, 25, 50 and 100 %. */
export const RAMP_STEPS = [100, 500, 2500, 5000, 10_000] as const;

export interface RampSettings {
  /** Ascending; all treatments together. */
  readonly stepsBps: readonly number[];
  /** Share that stays on control at the end. */
  readonly holdoutBps: number;
  /** What each step waits for before the next. */
  readonly minimumMinutes: number;
  /** Units in control and in every treatment since the step began. */
  readonly minimumUnits: number;
  /** What the last step needs: a decision to ship, or no harm seen (the gates of every step). */
  readonly lastStepNeeds: 'ship' | 'no_harm';
  /** Whether a breached guardrail (or a primary metric proven worse) sends its treatment's units back to control by itself; else it pauses. */
  readonly autoRollBack: boolean;
  readonly schedule: Schedule;
}

export interface Weight {
  readonly arm: string;
  readonly weightBps: number;
}

/** What a controller does about a test now, with a sentence that says why. */
export type Move =
  | { readonly kind: 'wait'; readonly why: string }
  /** Nothing moves until a person says so. */
  | { readonly kind: 'pause'; readonly why: string }
  /** A new split. `dropped`: treatments that are out for good. `step` of ramps. */
  | {
      readonly kind: 'split';
      readonly weights: readonly Weight[];
      readonly dropped: readonly string[];
      readonly step: number;
      readonly why: string;
    }
  /** All treatments are harmful: the test ends with control. */
  | { readonly kind: 'roll_back'; readonly why: string };

export interface SteeringState {
  /** Index of the step in force; −1 before the first. Counts reweightings of an adaptive test. */
  readonly step: number;
  /** RFC 3339: since when. */
  readonly since: string;
  readonly dropped: readonly string[];
}

/** What is seen of a test now. */
export interface Sight {
  readonly control: string;
  /** Arms of the split in force. */
  readonly weights: readonly Weight[];
  readonly revision: number;
  readonly analysis: AbTestAnalysis;
  /** RFC 3339. */
  readonly now: string;
}

/**
 * The treatments' share, evenly among those that are left (the first ones take what does not divide), the rest to control. Every arm keeps
 * its place in the split, with weight 0 when it has none.
 */
export function rampWeights(
  arms: readonly string[],
  control: string,
  dropped: readonly string[],
  shareBps: number,
): Weight[] {
  const alive = arms.filter((arm) => arm !== control && !dropped.includes(arm));
  const share = alive.length === 0 ? 0 : shareBps;
  const each = alive.length === 0 ? 0 : Math.floor(share / alive.length);
  const spare = share - each * alive.length;
  return arms.map((arm) => {
    if (arm === control) return { arm, weightBps: 10_000 - share };
    const at = alive.indexOf(arm);
    return { arm, weightBps: at === -1 ? 0 : each + (at < spare ? 1 : 0) };
  });
}

export function stepShare({ stepsBps, holdoutBps }: RampSettings, step: number): number {
  return step < 0 ? 0 : Math.min(stepsBps[Math.min(step, stepsBps.length - 1)]!, 10_000 - holdoutBps);
}

/** The next move of a ramp. Harm first, then what must be waited for. */
export function nextRampMove(settings: RampSettings, state: SteeringState, sight: Sight): Move {
  const alive = sight.weights
    .map(({ arm }) => arm)
    .filter((arm) => arm !== sight.control && !state.dropped.includes(arm));
  const harm = harmMove(settings, state, sight, alive, (dropped) =>
    rampWeights(
      sight.weights.map(({ arm }) => arm),
      sight.control,
      dropped,
      stepShare(settings, state.step),
    ),
  );
  if (harm) return harm;
  const { step, since } = state;
  const last = settings.stepsBps.length - 1;
  if (step >= last) return { kind: 'wait', why: 'All steps have been taken; decide to end the test.' };
  const notNow = whyNotNow(settings.schedule, sight.now);
  if (notNow !== undefined) return { kind: 'wait', why: notNow };
  const gate = step < 0 ? undefined : closedGate(settings, since, sight, alive);
  if (gate !== undefined) return { kind: 'wait', why: gate };
  if (step + 1 < last || last === 0 || settings.lastStepNeeds === 'no_harm')
    return stepMove(settings, state, sight, step + 1, 'its gates are open.');
  const { decision } = sight.analysis;
  if (decision.decision === 'roll_back')
    return {
      kind: 'pause',
      why: `The last step needs a decision to ship, and it is to roll back: ${decision.sentence}`,
    };
  if (decision.decision !== 'ship')
    return { kind: 'wait', why: `The last step needs a decision to ship. ${decision.sentence}` };
  // Of several treatments only the one to ship takes it.
  const dropped = [...state.dropped, ...alive.filter((arm) => arm !== decision.arm)];
  return stepMove(settings, { ...state, dropped }, sight, last, decision.sentence);
}

/** The move to a step, whatever the gates say. */
export function stepMove(
  settings: RampSettings,
  state: SteeringState,
  sight: Omit<Sight, 'analysis'>,
  step: number,
  why: string,
): Extract<Move, { kind: 'split' }> {
  const share = stepShare(settings, step);
  const arms = sight.weights.map(({ arm }) => arm);
  return {
    kind: 'split',
    step,
    dropped: state.dropped,
    weights: rampWeights(arms, sight.control, state.dropped, share),
    why: `Step ${step + 1} of ${settings.stepsBps.length}: ${number(share / 100)} % to the treatments; ${why}`,
  };
}

/** Why the step in force has to last; undefined when its gates are open. */
function closedGate(
  settings: RampSettings,
  since: string,
  { analysis, control, revision, now }: Sight,
  alive: readonly string[],
): string | undefined {
  const minutes = (Date.parse(now) - Date.parse(since)) / 60_000;
  if (minutes < settings.minimumMinutes)
    return `The step has lasted ${number(Math.max(0, Math.floor(minutes)))} of at least ${number(settings.minimumMinutes)} minutes.`;
  const phase = analysis.phases.find(({ splitRevision }) => splitRevision === revision);
  for (const arm of [control, ...alive]) {
    const seen = phase?.arms.find((each) => each.arm === arm);
    if (seen?.weightBps !== 0 && (seen?.units ?? 0) < settings.minimumUnits)
      return `Arm "${arm}" has ${seen?.units ?? 0} of at least ${settings.minimumUnits} units in this step.`;
  }
  return undefined;
}

/**
 * What harm asks for: treatments with a breached guardrail or a primary metric proven worse go (`autoRollBack`), or all stops; a
 * sample-ratio alarm of the split in force pauses. Shared by ramps and adaptive tests.
 * @param without weights without these treatments.
 */
export function harmMove(
  { autoRollBack }: Pick<RampSettings, 'autoRollBack'>,
  state: SteeringState,
  { analysis, revision }: Pick<Sight, 'analysis' | 'revision'>,
  alive: readonly string[],
  without: (dropped: readonly string[]) => readonly Weight[],
): Move | undefined {
  const harmful = analysis.treatments.filter(({ arm, decision }) => alive.includes(arm) && isHarm(decision));
  const why = harmful.map(({ decision }) => decision.sentence).join(' ');
  if (harmful.length > 0 && !autoRollBack) return { kind: 'pause', why };
  if (harmful.length > 0 && harmful.length === alive.length) return { kind: 'roll_back', why };
  if (harmful.length > 0) {
    const dropped = [...state.dropped, ...harmful.map(({ arm }) => arm)];
    return { kind: 'split', step: state.step, dropped, weights: without(dropped), why };
  }
  const phase = analysis.phases.find(({ splitRevision }) => splitRevision === revision);
  if (phase?.sampleRatio.alarm)
    return { kind: 'pause', why: `The units do not fall as the split says. ${phase.sampleRatio.cause}` };
  return undefined;
}

function isHarm({ reason }: Decision): boolean {
  return reason === 'guardrail_breached' || reason === 'worse';
}
