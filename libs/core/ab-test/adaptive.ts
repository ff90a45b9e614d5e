import { thompsonWeights } from '../statistics/thompson.js';
import { harmMove, type Move, type Sight, type SteeringState, type Weight } from './ramp.js';
import { whyNotNow, type Schedule } from './schedule.js';
import type { Direction } from './metrics.js';

export interface AdaptiveSettings {
  /** Time between two changes of the weights. */
  readonly intervalMinutes: number;
  /** No arm gets less. */
  readonly floorBps: number;
  /** Units in every arm before the first change. */
  readonly minimumUnits: number;
  /** A change of less than this in every arm is not made: each one begins a phase. */
  readonly minimumChangeBps: number;
  readonly autoRollBack: boolean;
  readonly schedule: Schedule;
}

/** Weights change no more than so often: each change is a phase, and every look reads all of them. */
export const MAX_REWEIGHTINGS = 1000;

/** The highest floor that so many arms leave room for. */
export function highestFloor(arms: number): number {
  return Math.floor(10_000 / arms);
}

/**
 * The next move of an adaptive test: Thompson sampling's weights from what is believed of the primary metric of every arm now.
 *
 * Each reweighting is a split revision, so a phase. Beliefs are the arms' values over all phases, every phase weighing as many units as it
 * had in all arms together: sums of phases with unlike weights are never added up, or an arm would look good for having had its units in
 * good weeks. Units that a reweighting moves count in each phase for the arm they had there.
 */
export function nextAdaptiveMove(
  settings: AdaptiveSettings,
  state: SteeringState,
  sight: Sight,
  direction: Direction,
): Move {
  const { analysis, weights } = sight;
  const harm = harmMove(settings, state, sight);
  if (harm) return harm;
  if (state.step + 1 >= MAX_REWEIGHTINGS)
    return {
      kind: 'wait',
      why: `The weights have changed ${MAX_REWEIGHTINGS} times, and stay; decide to end the test.`,
    };
  const minutes = (Date.parse(sight.now) - Date.parse(state.since)) / 60_000;
  if (minutes < settings.intervalMinutes)
    return {
      kind: 'wait',
      why: `The weights change every ${settings.intervalMinutes} minutes; ${Math.max(0, Math.floor(minutes))} have passed.`,
    };
  const notNow = whyNotNow(settings.schedule, sight.now);
  if (notNow !== undefined) return { kind: 'wait', why: notNow };
  const arms = weights
    .filter(({ arm }) => !state.dropped.includes(arm))
    .map(({ arm }) => analysis.arms.find((each) => each.arm === arm));
  const few = arms.find((arm) => (arm?.units ?? 0) < settings.minimumUnits);
  if (arms.includes(undefined) || few)
    return {
      kind: 'wait',
      why: `Every arm needs ${settings.minimumUnits} units before the weights change${few ? `; "${few.arm}" has ${few.units}` : ''}.`,
    };
  const beliefs = arms.map((arm) => arm!.metrics[0]!);
  if (beliefs.some(({ value, standardError }) => value === null || standardError === null))
    return {
      kind: 'wait',
      why: `Nothing is known of ${beliefs[0]!.metric} in one of the arms; the weights stay.`,
    };
  const next = thompsonWeights(
    beliefs.map(({ value, standardError }) => ({ mean: value!, standardDeviation: standardError! })),
    // A split by hand may have more arms than the floor was put for.
    {
      floorBps: Math.min(settings.floorBps, highestFloor(arms.length)),
      lowerIsBetter: direction === 'lower',
    },
  );
  const planned = weights.map(({ arm }): Weight => {
    const at = arms.findIndex((each) => each!.arm === arm);
    return { arm, weightBps: at === -1 ? 0 : next[at]! };
  });
  const change = Math.max(...planned.map(({ weightBps }, i) => Math.abs(weightBps - weights[i]!.weightBps)));
  if (change < settings.minimumChangeBps)
    return {
      kind: 'wait',
      why: `The weights would change by less than ${settings.minimumChangeBps / 100} %; they stay.`,
    };
  const said = planned.map(({ arm, weightBps }) => `"${arm}" ${weightBps / 100} %`).join(', ');
  return {
    kind: 'split',
    step: state.step + 1,
    dropped: state.dropped,
    weights: planned,
    why: `Thompson sampling by ${beliefs[0]!.metric}: ${said}.`,
  };
}
