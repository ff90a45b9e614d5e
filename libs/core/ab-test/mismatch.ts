import { chiSquareUpperTail } from '../statistics/distributions.js';
import { holm } from '../statistics/holm.js';
import { SAMPLE_RATIO_ALPHA, sampleRatio } from '../statistics/sample-ratio.js';
import type { ArmInput, PhaseInput } from './ab-test.js';
import { finite, type SampleRatioResult } from './results.js';
import { percent } from './words.js';

/** Fewer expected units in an arm, and χ² is no χ²: a ramp's first minutes would alarm by chance. */
const FEWEST_EXPECTED = 10;
/** Rows that late gateways and followers still hold: beyond it the newest units are missing. */
const LATE_SECONDS = 60;
/** How much larger a share must be in one arm than in another to be named as a cause. */
const STRIKING = 0.01;

/** Share of the units that are compared from which on the alarm of one phase is the test's. */
const TELLING = 0.05;

/**
 * The sample-ratio check of every phase, with the likely cause of an alarm. Where newcomers are known it counts them: how many units
 * come back may differ between arms by what the arms did to them, in a healthy split. Alarms are corrected for the phases by Holm.
 */
export function checkSampleRatios(phases: readonly PhaseInput[], lagSeconds?: number): SampleRatioResult[] {
  const found = phases.map((phase) => checked(phase));
  const adjusted = holm(found.map(({ pValue, fits }) => (fits ? pValue : 1)));
  return found.map(({ pValue, statistic, expected, counted }, at) => {
    const phase = phases[at]!;
    const alarm = adjusted[at]! < SAMPLE_RATIO_ALPHA;
    const lag = phase.endedAt === null ? lagSeconds : undefined;
    return {
      alarm,
      pValue,
      statistic: finite(statistic),
      expectedUnits: phase.arms.map(({ arm }, i) => ({ arm, units: expected[i]! })),
      cause: alarm ? likelyCause(counted, expected, lag) : null,
    };
  });
}

/** A phase as it is tested: `counted.arms` have newcomers for units. */
function checked(phase: PhaseInput, byNewcomers = true) {
  const known = byNewcomers && phase.arms.every(({ newcomers }) => newcomers !== undefined);
  const arms = phase.arms.map((arm) =>
    known && arm.weightBps > 0 ? { ...arm, units: arm.newcomers! } : arm,
  );
  const counted: PhaseInput = known ? { ...phase, arms, returningUnits: 0 } : phase;
  const found = sampleRatio(
    arms.map(({ units }) => units),
    arms.map(({ weightBps }) => weightBps),
  );
  const fewest = Math.min(...found.expected.filter((units) => units > 0));
  const fits = fewest >= FEWEST_EXPECTED || found.statistic === Infinity;
  return { ...found, counted, fits };
}

/**
 * The test's sample ratio, from the phases that are compared: the alarm of a phase with 5 % of their units or more (an alarm of the first
 * hour would else stay for good), or that of an arm over all phases together (a small loss in each of many). Without alarm the last phase's.
 */
export function testSampleRatio(
  phases: readonly PhaseInput[],
  results: readonly SampleRatioResult[],
  analysed: readonly boolean[],
  lagSeconds?: number,
): SampleRatioResult {
  const compared = phases.flatMap((phase, at) => (analysed[at] ? [{ phase, at }] : []));
  const unitsOf = ({ arms }: PhaseInput) => arms.reduce((sum, { units }) => sum + units, 0);
  const whole = compared.reduce((sum, { phase }) => sum + unitsOf(phase), 0);
  const telling = compared.find(({ phase, at }) => results[at]!.alarm && unitsOf(phase) >= TELLING * whole);
  if (telling) {
    const result = results[telling.at]!;
    const { splitRevision } = telling.phase;
    return compared.length === 1
      ? result
      : { ...result, cause: `In split revision ${splitRevision}: ${result.cause}` };
  }
  const together = compared.length > 1 ? pooled(compared.map(({ phase }) => checked(phase))) : undefined;
  if (together && together.pValue < SAMPLE_RATIO_ALPHA)
    return {
      alarm: true,
      pValue: together.pValue,
      statistic: finite(together.statistic),
      expectedUnits: together.phase.arms.map(({ arm }, i) => ({ arm, units: together.expected[i]! })),
      cause: `Over ${compared.length} phases together: ${likelyCause(together.phase, together.expected, lagSeconds)}`,
    };
  const none = { alarm: false, pValue: 1, statistic: 0, expectedUnits: [], cause: null };
  if (compared.length === 0) return results.at(-1) ?? none;
  return { ...results[compared.at(-1)!.at]!, alarm: false, cause: null };
}

/** Each arm's units less those expected, summed over phases, against what chance makes of it; the worst arm, corrected for the arms. */
function pooled(phases: readonly ReturnType<typeof checked>[]) {
  const names = [...new Set(phases.flatMap(({ counted }) => counted.arms.map(({ arm }) => arm)))];
  const sums = names.map((name) => {
    const parts = phases.flatMap(({ counted, expected }) => {
      const at = counted.arms.findIndex(({ arm }) => arm === name);
      if (at === -1 || expected[at] === 0) return [];
      return [
        { arm: counted.arms[at]!, expected: expected[at]!, all: expected.reduce((sum, each) => sum + each) },
      ];
    });
    const sum = (of: (part: (typeof parts)[number]) => number) =>
      parts.reduce((total, part) => total + of(part), 0);
    const expected = sum((part) => part.expected);
    const variance = sum((part) => part.expected * (1 - part.expected / part.all));
    const units = sum(({ arm }) => arm.units);
    const arm: ArmInput = {
      arm: name,
      chainDigest: '',
      weightBps: 1,
      units,
      requests: sum(({ arm: { requests } }) => requests),
      requestsWithoutUnit: sum(({ arm: { requestsWithoutUnit = 0 } }) => requestsWithoutUnit),
      errors: sum(({ arm: { errors = 0 } }) => errors),
      interrupted: sum(({ arm: { interrupted = 0 } }) => interrupted),
      sums: {},
    };
    return { arm, expected, statistic: variance > 0 ? (units - expected) ** 2 / variance : 0 };
  });
  const statistic = Math.max(...sums.map((each) => each.statistic));
  const overrideRequests = phases.reduce((sum, { counted }) => sum + (counted.overrideRequests ?? 0), 0);
  return {
    statistic,
    pValue: Math.min(1, names.length * chiSquareUpperTail(statistic, 1)),
    expected: sums.map(({ expected }) => expected),
    phase: { ...phases.at(-1)!.counted, overrideRequests, arms: sums.map(({ arm }) => arm) },
  };
}

/** What a reader must know of phases whose alarm is not the test's, and of units that come back unevenly. */
export function sampleRatioNotes(
  phases: readonly PhaseInput[],
  results: readonly SampleRatioResult[],
  test: SampleRatioResult,
): string[] {
  const revisions = (found: readonly PhaseInput[]) =>
    found.map(({ splitRevision }) => splitRevision).join(', ');
  const alarmed = test.alarm ? [] : phases.filter((_, at) => results[at]!.alarm);
  const isAlarm = ({ alarm, fits }: ReturnType<typeof checked>) => alarm && fits;
  const uneven = phases.filter((phase, at) => {
    const { counted } = checked(phase);
    return counted !== phase && !results[at]!.alarm && isAlarm(checked(phase, false));
  });
  return [
    ...(alarmed.length > 0
      ? [
          `The units of split revision ${revisions(alarmed)} do not fall as it says; it has too few of all units to matter here.`,
        ]
      : []),
    ...(uneven.length > 0
      ? [
          `In split revision ${revisions(uneven)} new units fall as the split says, all units do not: those of one arm come back more often, a carry-over of what the arms did before; a new salt would end it.`,
        ]
      : []),
  ];
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

function returningClue({ returningUnits, arms }: PhaseInput): Clue | undefined {
  const units = arms.reduce((sum, arm) => sum + arm.units, 0);
  if (!returningUnits || returningUnits / units < 0.1) return undefined;
  return {
    says: `Likely cause: ${percent(returningUnits / units)} of the units were here in an earlier phase, and those of one arm come back more often: a carry-over of the earlier phase, which a new salt would end.`,
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
