import { fixedHorizon } from '../statistics/fixed-horizon.js';
import { holm } from '../statistics/holm.js';
import { wilsonInterval } from '../statistics/wilson.js';
import type { AbTestInput, ArmInput, PhaseInput } from './ab-test.js';
import { armAcrossPhases, largestVariance } from './across-phases.js';
import { armEstimate } from './arm-estimate.js';
import { compare, guardrailResult, jsonInterval, type ArmPair } from './comparison.js';
import { decide, decideAll } from './decision.js';
import { checkSampleRatios, sampleRatioNotes, testSampleRatio } from './mismatch.js';
import { BIN_GROWTH } from '../histogram/log-bins.js';
import {
  finite,
  type AbTestAnalysis,
  type ArmMetric,
  type ArmResult,
  type MetricResult,
  type PhaseResult,
  type Reading,
  type SampleRatioResult,
  type TreatmentResult,
} from './results.js';
import { settleRules, type JudgedMetric, type SettledRules } from './rules.js';

/**
 * Reads a test: estimates, differences, sample ratios and the decision, from sums alone.
 *
 * Differences are taken within each phase and then averaged (`acrossPhases`). A phase takes part in a comparison if both arms had weight and
 * units in it, and served the chain versions that they serve in the comparison's last phase.
 * @throws RangeError for sums that cannot be, or a metric that does not exist.
 */
export function analyse(input: AbTestInput): AbTestAnalysis {
  const rules = settleRules(input.rules);
  const names = [...new Set(input.phases.flatMap(({ arms }) => arms.map(({ arm }) => arm)))];
  const treatments = names.filter((name) => name !== rules.control);
  const pairs = new Map(treatments.map((name) => [name, comparable(input.phases, rules.control, name)]));
  const compared = adjustAll(
    treatments.map((name) => treatmentResult(name, pairs.get(name)!, rules, treatments.length)),
  );
  const used = new Set(compared.flatMap(({ phases }) => phases));
  const analysed = input.phases.map(({ splitRevision }) => used.has(splitRevision));
  const ratios = checkSampleRatios(input.phases, input.lagSeconds);
  const sampleRatio = testSampleRatio(input.phases, ratios, analysed, input.lagSeconds);
  const phases = input.phases.map((phase, at) => phaseResult(phase, analysed[at]!, ratios[at]!));
  const situation = { rules, input, sampleRatio, treatments: treatments.length };
  const decided = compared.map((result) => ({
    ...result,
    decision: decide(result, pairs.get(result.arm)!, situation),
  }));
  return {
    arms: armResults([rules.control, ...treatments], input.phases, rules),
    treatments: decided,
    phases,
    sampleRatio,
    decision: decideAll(decided, situation),
    notes: [...notesOf(input, rules, phases), ...sampleRatioNotes(input.phases, ratios, sampleRatio)],
  };
}

/** The phases in which a treatment can be held against control, its last one last. */
function comparable(
  phases: readonly PhaseInput[],
  controlName: string,
  treatmentName: string,
): (ArmPair & { revision: number })[] {
  const found = phases.flatMap((phase, at) => {
    const control = phase.arms.find(({ arm }) => arm === controlName);
    const treatment = phase.arms.find(({ arm }) => arm === treatmentName);
    if (!control || !treatment || control.weightBps === 0 || treatment.weightBps === 0) return [];
    if (control.units === 0 || treatment.units === 0) return [];
    return [
      { control, treatment, returning: at === 0 ? 0 : returningShare(phase), revision: phase.splitRevision },
    ];
  });
  const last = found.at(-1);
  return found.filter(
    ({ control, treatment }) =>
      control.chainDigest === last!.control.chainDigest &&
      treatment.chainDigest === last!.treatment.chainDigest,
  );
}

function returningShare({ arms, returningUnits }: PhaseInput): number {
  const units = arms.reduce((sum, arm) => sum + arm.units, 0);
  return units === 0 ? 0 : Math.min(1, (returningUnits ?? units) / units);
}

function treatmentResult(
  arm: string,
  pairs: readonly (ArmPair & { revision: number })[],
  rules: SettledRules,
  treatments: number,
): TreatmentResult {
  const guardrails = rules.metrics.filter(({ role }) => role === 'guardrail').length * treatments;
  const sum = (of: (pair: ArmPair) => ArmInput) => pairs.reduce((total, pair) => total + of(pair).units, 0);
  return {
    arm,
    phases: pairs.map(({ revision }) => revision),
    units: { control: sum(({ control }) => control), treatment: sum(({ treatment }) => treatment) },
    metrics: rules.metrics.map(({ metric, role, direction, guardrail }): MetricResult => ({
      metric: metric.name,
      role,
      direction,
      unit: metric.unit,
      ...compare(metric, direction, pairs, rules),
      guardrail: guardrail
        ? guardrailResult(metric, direction, guardrail, pairs, { ...rules, alpha: rules.alpha / guardrails })
        : null,
    })),
  };
}

type Kind = 'alwaysValid' | 'fixedHorizon';

/** Holm: the primary metric among the treatments; all others among all. A metric that cannot be compared takes no part. */
function adjustAll(treatments: readonly TreatmentResult[]): TreatmentResult[] {
  const corrected = (scale: 'absolute' | 'relative', kind: Kind) => {
    const all = treatments.flatMap(({ metrics }) => metrics);
    const family = (members: readonly MetricResult[]) => {
      const present = members.filter((metric) => metric[scale] !== null);
      const adjusted = holm(present.map((metric) => metric[scale]![kind].pValue));
      return new Map(present.map((metric, i) => [metric, adjusted[i]!]));
    };
    return new Map([...family(all), ...family(all.filter(({ role }) => role === 'primary'))]);
  };
  const adjust = (
    metric: MetricResult,
    scale: 'absolute' | 'relative',
    by: Record<Kind, Map<MetricResult, number>>,
  ) => {
    const reading = metric[scale];
    if (!reading) return null;
    const test = (kind: Kind): Reading[Kind] => ({ ...reading[kind], adjustedPValue: by[kind].get(metric)! });
    return { ...reading, alwaysValid: test('alwaysValid'), fixedHorizon: test('fixedHorizon') };
  };
  const by = (scale: 'absolute' | 'relative') => ({
    alwaysValid: corrected(scale, 'alwaysValid'),
    fixedHorizon: corrected(scale, 'fixedHorizon'),
  });
  const [absolute, relative] = [by('absolute'), by('relative')];
  return treatments.map((treatment) => ({
    ...treatment,
    metrics: treatment.metrics.map((metric) => ({
      ...metric,
      absolute: adjust(metric, 'absolute', absolute),
      relative: adjust(metric, 'relative', relative),
    })),
  }));
}

interface ArmPhase {
  readonly phase: PhaseInput;
  readonly arm: ArmInput;
  readonly units: number;
  readonly returning: number;
}

function armResults(
  names: readonly string[],
  phases: readonly PhaseInput[],
  rules: SettledRules,
): ArmResult[] {
  const own = names.map((name) => servedAlike(name, phases));
  const live = names.map((name) => (phases.at(-1)?.arms.find(({ arm }) => arm === name)?.weightBps ?? 0) > 0);
  const metrics = rules.metrics.map((judged) => armMetrics(judged, own, live, rules));
  return names.map((arm, i) => ({
    arm,
    isControl: arm === rules.control,
    units: own[i]!.reduce((sum, each) => sum + each.arm.units, 0),
    requests: own[i]!.reduce((sum, each) => sum + each.arm.requests, 0),
    metrics: metrics.map((ofArms) => ofArms[i]!),
  }));
}

/** The phases in which an arm had units and served what it serves now. */
function servedAlike(name: string, phases: readonly PhaseInput[]): ArmPhase[] {
  const present = phases.flatMap((phase, at) => {
    const arm = phase.arms.find((candidate) => candidate.arm === name);
    if (!arm || arm.units === 0) return [];
    const units = phase.arms.reduce((sum, each) => sum + each.units, 0);
    return [{ phase, arm, units, returning: at === 0 ? 0 : returningShare(phase) }];
  });
  return present.filter(({ arm }) => arm.chainDigest === present.at(-1)!.arm.chainDigest);
}

/**
 * A metric of every arm. Arms that have traffic now are read over the phases in which all of them have a value: they would else differ for
 * when they had their units. Where there is no such phase, and for other arms, over their own.
 * @param live whether the arm has traffic now.
 */
function armMetrics(
  { metric }: JudgedMetric,
  arms: readonly (readonly ArmPhase[])[],
  live: readonly boolean[],
  { alpha }: SettledRules,
): ArmMetric[] {
  const all = arms.map((phases) =>
    phases.flatMap((each) => {
      const found = armEstimate(metric, each.arm);
      return found ? [{ ...each, arm: found }] : [];
    }),
  );
  const seen = all.filter((_, i) => live[i]).map((found) => new Set(found.map(({ phase }) => phase)));
  return all.map((found, i): ArmMetric => {
    const shared = live[i] ? found.filter(({ phase }) => seen.every((phases) => phases.has(phase))) : [];
    const used = shared.length > 0 ? shared : found;
    const { name, unit } = metric;
    if (used.length === 0)
      return { metric: name, unit, value: null, standardError: null, interval: { lower: null, upper: null } };
    const phases = new Set(used.map(({ phase }) => phase));
    const beside = all.flat().filter(({ phase }) => phases.has(phase));
    const effect = armAcrossPhases(used, largestVariance(beside.map(({ arm }) => arm)));
    const units = used.reduce((sum, { arm }) => sum + arm.units, 0);
    const interval =
      metric.kind === 'rate'
        ? wilsonInterval(Math.min(units, effect.estimate * units), units, alpha)
        : fixedHorizon(effect, { alpha }).interval;
    return {
      metric: name,
      unit,
      value: finite(effect.estimate),
      standardError: finite(effect.standardError),
      interval: jsonInterval(interval),
    };
  });
}

function phaseResult(phase: PhaseInput, analysed: boolean, sampleRatio: SampleRatioResult): PhaseResult {
  return {
    splitRevision: phase.splitRevision,
    startedAt: phase.startedAt,
    endedAt: phase.endedAt,
    arms: phase.arms.map(({ arm, weightBps, units, requests }) => ({ arm, weightBps, units, requests })),
    sampleRatio,
    analysed,
    whyNot: analysed ? null : whyNot(phase),
  };
}

function whyNot({ arms }: PhaseInput): string {
  if (arms.filter(({ weightBps }) => weightBps > 0).length < 2)
    return 'All units went to one arm; there is nothing to compare.';
  if (arms.filter(({ units }) => units > 0).length < 2) return 'No units have come to two of its arms yet.';
  return 'Its arms served other chain versions, or control had no units; another treatment is not mixed in.';
}

function notesOf(
  { phases }: AbTestInput,
  { metrics }: SettledRules,
  results: readonly PhaseResult[],
): string[] {
  const notes: string[] = [];
  const analysed = results.filter((phase) => phase.analysed).length;
  if (analysed > 1)
    notes.push(
      `${analysed} phases are analysed together: arms are compared within each phase, and the differences averaged by what each phase tells. Sums of phases are never added up.`,
    );
  const returning = phases.slice(1).reduce((sum, phase) => sum + (phase.returningUnits ?? 0), 0);
  if (returning > 0)
    notes.push(
      `${returning} units were seen in an earlier phase. A unit counts once in every phase it was seen in, for the arm it had there; errors allow for phases that share units.`,
    );
  if (metrics.some(({ metric }) => metric.kind === 'quantile'))
    notes.push(
      `Quantiles come from bins of ${BIN_GROWTH * 100} %, values spread evenly within a bin: differences of less than that are not told apart for sure.`,
    );
  const pinned = phases.reduce((sum, phase) => sum + (phase.overrideRequests ?? 0), 0);
  const copies = phases.reduce((sum, phase) => sum + (phase.shadowRequests ?? 0), 0);
  if (pinned > 0) notes.push(`${pinned} requests of units pinned by an override do not count.`);
  if (copies > 0) notes.push(`${copies} requests copied to shadows do not count.`);
  return notes;
}
