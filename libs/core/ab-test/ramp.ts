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
  | {
      readonly kind: 'pause';
      readonly why: string;
      /** What it is for; a person who resumes has seen it, and it does not pause again. */
      readonly alarms?: readonly string[];
    }
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
  /** Alarms that somebody has resumed in spite of. */
  readonly acknowledged: readonly string[];
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

/** The last step that a split has reached: a ramp that goes on from it never takes more than one. −1: none. */
export function stepReached(
  settings: RampSettings,
  { weights, control }: Pick<Sight, 'weights' | 'control'>,
  dropped: readonly string[],
): number {
  const share = shareOf(weights, treatmentsLeft(weights, control, dropped));
  return settings.stepsBps.findLastIndex((_, step) => stepShare(settings, step) <= share);
}

function shareOf(weights: readonly Weight[], arms: readonly string[]): number {
  return weights.reduce((sum, { arm, weightBps }) => sum + (arms.includes(arm) ? weightBps : 0), 0);
}

function treatmentsLeft(weights: readonly Weight[], control: string, dropped: readonly string[]): string[] {
  return weights.map(({ arm }) => arm).filter((arm) => arm !== control && !dropped.includes(arm));
}

/** The next move of a ramp. Harm first, then what must be waited for. */
export function nextRampMove(settings: RampSettings, state: SteeringState, sight: Sight): Move {
  const alive = treatmentsLeft(sight.weights, sight.control, state.dropped);
  const harm = harmMove(settings, state, sight);
  if (harm) return harm;
  const { step, since } = state;
  const last = settings.stepsBps.length - 1;
  if (step >= last) return { kind: 'wait', why: 'All steps have been taken; decide to end the test.' };
  const notNow = whyNotNow(settings.schedule, sight.now);
  if (notNow !== undefined) return { kind: 'wait', why: notNow };
  // Before the first traffic there is nothing to wait for, and nothing to decide by.
  const isFirst = step < 0 && shareOf(sight.weights, alive) === 0;
  const gate = isFirst ? undefined : closedGate(settings, since, sight, alive);
  if (gate !== undefined) return { kind: 'wait', why: gate };
  if (step + 1 < last || isFirst || settings.lastStepNeeds === 'no_harm')
    return stepMove(settings, state, sight, step + 1, 'its gates are open.');
  const { decision, treatments } = sight.analysis;
  if (decision.decision === 'roll_back') {
    const why = `The last step needs a decision to ship, and it is to roll back: ${decision.sentence}`;
    const alarms = [`roll_back:${sight.revision}`];
    return isAcknowledged(alarms, state) ? { kind: 'wait', why } : { kind: 'pause', why, alarms };
  }
  // One that was dropped for harm may look best by now; it stays out.
  const winners = treatments.filter((each) => alive.includes(each.arm) && each.decision.decision === 'ship');
  const winner =
    winners.find(({ arm }) => arm === decision.arm) ?? (winners.length === 1 ? winners[0] : undefined);
  if (!winner)
    return {
      kind: 'wait',
      why: `The last step needs a decision to ship${state.dropped.length > 0 ? ' a treatment that is left' : ''}. ${decision.sentence}`,
    };
  // Of several treatments only the one to ship takes it.
  const dropped = [...state.dropped, ...alive.filter((arm) => arm !== winner.arm)];
  return stepMove(settings, { ...state, dropped }, sight, last, winner.decision.sentence);
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
 * sample-ratio alarm of the split in force pauses, unless somebody has acknowledged it. Shared by ramps and adaptive tests.
 */
export function harmMove(
  { autoRollBack }: Pick<RampSettings, 'autoRollBack'>,
  state: SteeringState,
  { analysis, revision, weights, control }: Sight,
): Move | undefined {
  const alive = treatmentsLeft(weights, control, state.dropped);
  const harmful = analysis.treatments.filter(({ arm, decision }) => alive.includes(arm) && isHarm(decision));
  const why = harmful.map(({ decision }) => decision.sentence).join(' ');
  if (harmful.length > 0 && autoRollBack) {
    if (harmful.length === alive.length) return { kind: 'roll_back', why };
    const dropped = [...state.dropped, ...harmful.map(({ arm }) => arm)];
    return { kind: 'split', step: state.step, dropped, weights: withoutArms(weights, control, dropped), why };
  }
  const harms = harmful.map(({ arm }) => `harm:${revision}:${arm}`);
  if (!isAcknowledged(harms, state)) return { kind: 'pause', why, alarms: harms };
  const phase = analysis.phases.find(({ splitRevision }) => splitRevision === revision);
  const mismatch = phase?.sampleRatio.alarm ? [`sample_ratio:${revision}`] : [];
  if (isAcknowledged(mismatch, state)) return undefined;
  const cause = phase!.sampleRatio.cause;
  return { kind: 'pause', why: `The units do not fall as the split says. ${cause}`, alarms: mismatch };
}

function isAcknowledged(alarms: readonly string[], { acknowledged }: SteeringState): boolean {
  return alarms.every((alarm) => acknowledged.includes(alarm));
}

/** What dropped treatments had goes to control: nobody else is given traffic that no gate was asked for. */
function withoutArms(weights: readonly Weight[], control: string, dropped: readonly string[]): Weight[] {
  const freed = shareOf(weights, dropped);
  return weights.map(({ arm, weightBps }) => ({
    arm,
    weightBps: arm === control ? weightBps + freed : dropped.includes(arm) ? 0 : weightBps,
  }));
}

function isHarm({ reason }: Decision): boolean {
  return reason === 'guardrail_breached' || reason === 'worse';
}
