import type { Scale } from '../statistics/effect.js';
import type { AbTestInput } from './ab-test.js';
import { armEstimate } from './arm-estimate.js';
import { failingArm, fallsWithFailures } from './failing-arm.js';
import { withinMinimum, type ArmPair } from './comparison.js';
import type {
  Decision,
  GuardrailResult,
  MetricResult,
  Reading,
  Reason,
  SampleRatioResult,
  TreatmentResult,
  Verdict,
} from './results.js';
import { planFor } from './planning.js';
import type { SettledRules } from './rules.js';
import { days, differenceIn, number, readingIn, valueIn } from './words.js';

export interface Situation {
  readonly rules: SettledRules;
  readonly input: AbTestInput;
  readonly sampleRatio: SampleRatioResult;
  /** How many there are to be told from control. */
  readonly treatments: number;
}

/** Units per arm from which on a guardrail may stop a treatment: fewer than a decision to ship needs, for harm is to end early. */
export const GUARDRAIL_UNITS = 20;

const DAY_MS = 86_400_000;
/** An hour. The first minutes tell nothing of how many units come in a day. */
const SHORTEST_DAYS = 1 / 24;

/**
 * What to do about one treatment. First that applies:
 * a guardrail is breached → roll back · sample-ratio alarm → no decision · too few units → keep running · primary metric proven worse →
 * roll back · proven better, but by less than the minimum effect, or proven to differ by less than it → roll back · proven better and a
 * guardrail's estimate is beyond its margin → keep running · proven better → ship · maximum duration over → roll back · keep running.
 * A breach of a cost, latency or token guardrail, and such a primary metric, decide nothing while the arm that looks better fails more.
 * "Proven" is by always-valid inference: looking as often as one likes costs nothing.
 */
export function decide(result: TreatmentResult, pairs: readonly ArmPair[], situation: Situation): Decision {
  const { rules, sampleRatio } = situation;
  const primary = result.metrics[0]!;
  const scale: Scale = primary.relative === null ? 'absolute' : rules.scale;
  const reading = primary[scale];
  const need = neededUnits(result, pairs, situation);
  const say = (decision: Verdict, reason: Reason, sentence: string): Decision => ({
    decision,
    reason,
    arm: result.arm,
    sentence,
    daysLeft: decision === 'keep_running' ? need.daysLeft : null,
    unitsNeeded: need.units,
  });
  const fewest = Math.min(result.units.control, result.units.treatment);

  const failing = failingArm(pairs);
  // The arm that fails looks better by it: what is seen of the metric may be its failures.
  const isMisled = ({ unit, direction: better }: MetricResult, controlLooksBetter: boolean) =>
    failing?.isControl === controlLooksBetter && better === 'lower' && fallsWithFailures(unit);
  const breaches = result.metrics.filter(({ guardrail }) => guardrail?.state === 'breached');
  const breached = breaches.find((metric) => !isMisled(metric, true));
  if (breached && fewest >= GUARDRAIL_UNITS)
    return say('roll_back', 'guardrail_breached', breachSentence(result.arm, breached, breached.guardrail!));
  if (sampleRatio.alarm)
    return say(
      'keep_running',
      'sample_ratio_mismatch',
      `Nothing is decided: the units do not fall as the split says (p ${pText(sampleRatio.pValue)}), so no difference can be believed. ${sampleRatio.cause}`,
    );
  if (breaches.length > 0 && fewest >= GUARDRAIL_UNITS)
    return say(
      'keep_running',
      'guardrail_open',
      `Guardrail ${breaches[0]!.metric} is worse than the tolerated ${marginText(breaches[0]!.guardrail!, breaches[0]!.unit)}, but nothing is decided by it: ${failing!.sentence}`,
    );
  if (fewest < rules.minimumUnits || !reading)
    return overdue(situation)
      ? say(
          'roll_back',
          'maximum_duration',
          `${lateText(situation)} and "${result.arm}" has only ${units(result)}; keep control.`,
        )
      : say(
          'keep_running',
          'not_enough_units',
          `There are ${units(result)}; before ${rules.minimumUnits} in each arm nothing is decided${leftText(need)}.`,
        );

  const figures = readingIn(primary, scale, reading, rules.alpha);
  // Proven by the absolute difference on both scales: a ratio to a control that is still uncertain is no safe ground.
  const gain = gainOf(primary.absolute!, primary);
  const proven = primary.absolute!.alwaysValid.adjustedPValue < rules.alpha;
  if (proven && isMisled(primary, gain < 0))
    // A treatment that fails is not kept for ever; a healthy one is not sent back to a control that does.
    return !failing!.isControl && overdue(situation)
      ? say(
          'roll_back',
          'maximum_duration',
          `${lateText(situation)}; ${figures}, but ${failing!.sentence} Keep control.`,
        )
      : say('keep_running', 'undecided', `Nothing is decided by ${figures}: ${failing!.sentence}`);
  if (proven && gain < 0)
    return say(
      'roll_back',
      'worse',
      `"${result.arm}" is worse than control: ${figures}. Send its units back to control.`,
    );
  const { metric, direction } = rules.metrics[0]!;
  const minimum = withinMinimum(metric, direction, pairs, {
    ...rules,
    alpha: rules.alpha / situation.treatments,
  });
  const matters = differenceIn(
    primary.unit,
    scale,
    primary.direction === 'lower' ? -rules.minimumEffect : rules.minimumEffect,
  );
  if (scale === rules.scale && minimum.below && (proven || minimum.above))
    return say(
      'roll_back',
      'too_small_to_matter',
      `"${result.arm}" is ${proven ? 'better, but by' : 'like control within'} less than the ${matters} that matters: ${figures}. Keep control.`,
    );
  if (proven) {
    const open = result.metrics.find(({ guardrail }) => guardrail?.state === 'open' && isBeyond(guardrail));
    if (open)
      return overdue(situation)
        ? say(
            'roll_back',
            'maximum_duration',
            `${lateText(situation)}; ${figures}, but ${openText(open)}. Keep control.`,
          )
        : say(
            'keep_running',
            'guardrail_open',
            `"${result.arm}" is better: ${figures}, but ${openText(open)}; keep running until that is told.`,
          );
    return say(
      'ship',
      'better',
      `Ship "${result.arm}": ${figures}, with ${units(result)}${heldText(result)}.`,
    );
  }
  if (overdue(situation))
    return say(
      'roll_back',
      'maximum_duration',
      `${lateText(situation)} and no improvement is proven: ${figures}. Keep control.`,
    );
  return say(
    'keep_running',
    'undecided',
    `Nothing is proven yet: ${figures}, with ${units(result)}${leftText(need)}.`,
  );
}

/** The test's decision from those of its treatments: ship the best; roll back when all are to be; else go on. */
export function decideAll(
  treatments: readonly (TreatmentResult & { readonly decision: Decision })[],
  { rules, sampleRatio }: Situation,
): Decision {
  const winners = treatments.filter(({ decision }) => decision.decision === 'ship');
  const gain = ({ metrics: [primary] }: TreatmentResult) => {
    const reading = primary!.relative === null ? primary!.absolute : primary![rules.scale];
    return gainOf(reading!, primary!);
  };
  const best = winners.reduce<(typeof winners)[number] | undefined>(
    (found, next) => (found && gain(found) >= gain(next) ? found : next),
    undefined,
  );
  if (best) return best.decision;
  const going = treatments.filter(({ decision }) => decision.decision === 'keep_running');
  const [first] = going.length > 0 ? going : treatments;
  if (!first)
    return {
      decision: 'keep_running',
      reason: sampleRatio.alarm ? 'sample_ratio_mismatch' : 'not_enough_units',
      arm: null,
      sentence: 'No units have come to any treatment yet.',
      daysLeft: null,
      unitsNeeded: null,
    };
  const longest = going.reduce(
    (found, next) =>
      (next.decision.daysLeft ?? Infinity) > (found.decision.daysLeft ?? Infinity) ? next : found,
    first,
  );
  const { decision } = going.length > 0 ? longest : first;
  if (treatments.length === 1) return decision;
  return {
    ...decision,
    arm: null,
    sentence: treatments.map((treatment) => treatment.decision.sentence).join(' '),
  };
}

/** The estimate turned so that more is better. */
function gainOf({ estimate }: Reading, { direction }: MetricResult): number {
  return direction === 'higher' ? estimate : -estimate;
}

/** The middle of the bounds lies beyond the margin. */
function isBeyond({ beyondAtLeast, beyondAtMost }: GuardrailResult): boolean {
  return beyondAtLeast !== null && beyondAtMost !== null && beyondAtLeast + beyondAtMost > 0;
}

/** Units that the comparison needs in both arms to find the minimum effect, read always-validly, and how long they take to come. */
function neededUnits(result: TreatmentResult, pairs: readonly ArmPair[], { rules, input }: Situation) {
  const unknown = { units: null, daysLeft: null };
  const pair = pairs.at(-1);
  const { metric } = rules.metrics[0]!;
  const control = pair && armEstimate(metric, pair.control);
  if (!pair || !control) return unknown;
  const both = pair.control.weightBps + pair.treatment.weightBps;
  const plan = planFor(control, {
    ...rules,
    effect: rules.minimumEffect,
    treatmentShare: pair.treatment.weightBps / both,
    varianceReduction: result.metrics[0]!.cuped?.varianceReduction ?? 0,
  });
  if (!plan) return unknown;
  const units = plan.alwaysValidUnits;
  const elapsed = elapsedDays(input);
  const counted = input.phases.reduce(
    (sum, { arms }) => sum + arms.reduce((all, arm) => all + arm.units, 0),
    0,
  );
  const perDay = input.unitsPerDay ?? (elapsed >= SHORTEST_DAYS ? counted / elapsed : 0);
  const left = Math.max(0, units - result.units.control - result.units.treatment);
  const rate = (perDay * both) / 10_000;
  return { units, daysLeft: left === 0 ? 0 : rate > 0 ? left / rate : null };
}

function elapsedDays({ startedAt, now }: AbTestInput): number {
  return (Date.parse(now) - Date.parse(startedAt)) / DAY_MS;
}

function overdue({ rules, input }: Situation): boolean {
  return elapsedDays(input) >= rules.maximumDays;
}

function lateText({ rules }: Situation): string {
  return `The maximum duration of ${number(rules.maximumDays)} days is over`;
}

function units({ units: { control, treatment } }: TreatmentResult): string {
  return `${number(control)} units in control and ${number(treatment)} in the treatment`;
}

function leftText({ units: needed, daysLeft }: { units: number | null; daysLeft: number | null }): string {
  if (needed === null) return '';
  const all = `; the minimum effect takes about ${number(needed)} units in both`;
  if (daysLeft === null) return all;
  return daysLeft === 0 ? `${all}, which are there` : `${all}, ${days(daysLeft)} more at the present rate`;
}

function breachSentence(
  arm: string,
  { metric, unit, absolute }: MetricResult,
  guardrail: GuardrailResult,
): string {
  const seen = absolute
    ? ` The difference to control is ${differenceIn(unit, 'absolute', absolute.estimate)};`
    : '';
  return (
    `Roll "${arm}" back: guardrail ${metric} is worse than the tolerated ${marginText(guardrail, unit)}.${seen} ` +
    `at every look it is at least ${valueIn(unit, guardrail.beyondAtLeast!)} beyond the margin.`
  );
}

function marginText({ margin, scale }: GuardrailResult, unit: string): string {
  return scale === 'relative' ? `${number(margin * 100)} % of control` : valueIn(unit, margin);
}

function openText({ metric, unit, guardrail }: MetricResult): string {
  return `guardrail ${metric} may be worse than the tolerated ${marginText(guardrail!, unit)}`;
}

function heldText({ metrics }: TreatmentResult): string {
  const guarded = metrics.filter(({ guardrail }) => guardrail !== null);
  if (guarded.length === 0) return '';
  const held = guarded.filter(({ guardrail }) => guardrail!.state === 'held').map(({ metric }) => metric);
  return held.length === guarded.length
    ? `; every guardrail holds (${held.join(', ')})`
    : `; no guardrail is breached`;
}

function pText(p: number): string {
  return p < 0.0001 ? '< 0.0001' : `= ${number(p)}`;
}
