import { sampleRatio } from '../statistics/sample-ratio.js';
import type { ArmInput, PhaseInput } from './ab-test.js';
import { finite, type SampleRatioResult } from './results.js';

/** Fewer expected units in an arm, and χ² is no χ²: a ramp's first minutes would alarm by chance. */
const FEWEST_EXPECTED = 10;
/** Rows that late gateways and followers still hold: beyond it the newest units are missing. */
const LATE_SECONDS = 60;
/** How much larger a share must be in one arm than in another to be named as a cause. */
const STRIKING = 0.01;

/** The sample-ratio check of one phase, with the likely cause of an alarm. */
export function checkSampleRatio(phase: PhaseInput, lagSeconds?: number): SampleRatioResult {
  const { arms } = phase;
  const found = sampleRatio(
    arms.map(({ units }) => units),
    arms.map(({ weightBps }) => weightBps),
  );
  const fewest = Math.min(...found.expected.filter((units) => units > 0));
  const alarm = found.alarm && (fewest >= FEWEST_EXPECTED || found.statistic === Infinity);
  return {
    alarm,
    pValue: found.pValue,
    statistic: finite(found.statistic),
    expectedUnits: arms.map(({ arm }, i) => ({ arm, units: found.expected[i]! })),
    cause: alarm ? likelyCause(phase, found.expected, lagSeconds) : null,
  };
}

interface Clue {
  readonly says: string;
}

/** The first clue that fits, most telling first; they are leads to follow, not proof. */
function likelyCause(phase: PhaseInput, expected: readonly number[], lagSeconds = 0): string {
  const { arms } = phase;
  const [at, missing] = mostMissing(arms, expected);
  const short = arms[at]!;
  const gap = `Arm "${short.arm}" has ${short.units} units where ${Math.round(expected[at]!)} were expected (${percent(missing)} missing).`;
  const clue =
    strangerClue(phase) ??
    zeroWeightClue(arms) ??
    interruptedClue(arms) ??
    pinnedClue(phase) ??
    returningClue(phase) ??
    unitlessClue(arms) ??
    errorClue(arms) ??
    lateClue(lagSeconds);
  return `${gap} ${clue?.says ?? 'Nothing that is known of the rows tells why: look for callers that drop or retry the requests of one arm, for bots, and for rows lost outside Catena.'}`;
}

function mostMissing(arms: readonly ArmInput[], expected: readonly number[]): [index: number, share: number] {
  const shares = arms.map(({ units }, i) => (expected[i]! > 0 ? 1 - units / expected[i]! : 0));
  const most = Math.max(...shares);
  return [shares.indexOf(most), most];
}

function strangerClue({ strangers = {}, splitRevision }: PhaseInput): Clue | undefined {
  const found = Object.entries(strangers).filter(([, units]) => units > 0);
  if (found.length === 0) return undefined;
  const list = found.map(([arm, units]) => `${units} of "${arm}"`).join(', ');
  return {
    says: `Likely cause: rows name arms that split revision ${splitRevision} does not have (${list} units); a gateway or an importer writes them with the wrong revision.`,
  };
}

function zeroWeightClue(arms: readonly ArmInput[]): Clue | undefined {
  const found = arms.find(({ weightBps, units }) => weightBps === 0 && units > 0);
  return (
    found && {
      says: `Likely cause: arm "${found.arm}" has weight 0 and got ${found.units} units all the same: the split that gateways used is not the one recorded.`,
    }
  );
}

function interruptedClue(arms: readonly ArmInput[]): Clue | undefined {
  return contrastClue(
    arms,
    (arm) => share(arm.interrupted, arm.requests),
    (high, low) =>
      `Likely cause: ${percent(high.share)} of the requests of "${high.arm}" were cut off by a gateway that died, ${percent(low.share)} of "${low.arm}": gateways crash on what this arm does, and rows are missing with them.`,
  );
}

function pinnedClue({ overrideRequests = 0, arms }: PhaseInput): Clue | undefined {
  const all = overrideRequests + arms.reduce((sum, { requests }) => sum + requests, 0);
  if (all === 0 || overrideRequests / all < 0.02) return undefined;
  return {
    says: `Likely cause: ${percent(overrideRequests / all)} of the requests are of units pinned by an override; they do not count, and were taken from their arms unevenly.`,
  };
}

function returningClue({ returningUnits, movedUnits, arms }: PhaseInput): Clue | undefined {
  const units = arms.reduce((sum, arm) => sum + arm.units, 0);
  if (!returningUnits || returningUnits / units < 0.1) return undefined;
  return {
    says: `Likely cause: ${percent(returningUnits / units)} of the units were here in an earlier phase (${movedUnits ?? 'some'} of them in another arm), and those of one arm come back more often: a carry-over of the earlier phase, which a new salt would end.`,
  };
}

function unitlessClue(arms: readonly ArmInput[]): Clue | undefined {
  return contrastClue(
    arms,
    (arm) => share(arm.requestsWithoutUnit, arm.requests),
    (high, low) =>
      `Likely cause: ${percent(high.share)} of the requests of "${high.arm}" come without a unit, ${percent(low.share)} of "${low.arm}"; each of them counts as a unit of its own. Send the header x-catena-unit with every request.`,
  );
}

function errorClue(arms: readonly ArmInput[]): Clue | undefined {
  return contrastClue(
    arms,
    (arm) => share(arm.errors, arm.requests),
    (high, low) =>
      `Likely cause: ${percent(high.share)} of the requests of "${high.arm}" fail, ${percent(low.share)} of "${low.arm}": callers give up or try again with a new unit.`,
  );
}

function lateClue(lagSeconds: number): Clue | undefined {
  if (lagSeconds < LATE_SECONDS) return undefined;
  return {
    says: `Likely cause: rows up to ${Math.round(lagSeconds)} seconds old are not counted yet; the alarm may go when they are.`,
  };
}

function contrastClue(
  arms: readonly ArmInput[],
  of: (arm: ArmInput) => number | undefined,
  says: (high: { arm: string; share: number }, low: { arm: string; share: number }) => string,
): Clue | undefined {
  const known = arms
    .filter(({ weightBps }) => weightBps > 0)
    .flatMap((arm) => {
      const value = of(arm);
      return value === undefined ? [] : [{ arm: arm.arm, share: value }];
    })
    .sort((a, b) => a.share - b.share);
  const [low, high] = [known[0], known.at(-1)];
  if (!low || !high || high.share - low.share < STRIKING) return undefined;
  return { says: says(high, low) };
}

function share(part: number | undefined, whole: number): number | undefined {
  return part === undefined || whole === 0 ? undefined : part / whole;
}

function percent(value: number): string {
  return `${(100 * value).toFixed(1)} %`;
}
