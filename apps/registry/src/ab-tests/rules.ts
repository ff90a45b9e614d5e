import type { AbTestRules } from '#libs/core/ab-test/ab-test.js';
import { metricProblem } from '#libs/core/ab-test/metrics.js';
import { settleRules } from '#libs/core/ab-test/rules.js';
import type { Problem } from '#libs/core/content/problems.js';
import { DomainError } from '#libs/core/errors/catalogue.js';
import type { Factors } from './ab-test.entity.js';
import type { CreateAbTestDto } from './ab-test.dto.js';

/** Names of all metrics a test is judged by. */
export function metricsOf({ primary, guardrails, secondary = [] }: AbTestRules): string[] {
  return [primary, ...guardrails, ...secondary].map(({ metric }) => metric);
}

/**
 * Rules with every default written down: a test is judged by what was in force when it was made.
 * @throws DomainError VALIDATION_FAILED for metrics that do not exist, or are named twice.
 */
export function rulesOf(given: Omit<CreateAbTestDto, 'hypothesis' | 'factors'>): AbTestRules {
  const { guardrails = [], secondary = [], control, primary, minimumEffect, maximumDays } = given;
  const named = [
    { path: '/primary', metric: primary.metric },
    ...guardrails.map(({ metric }, at) => ({ path: `/guardrails/${at}`, metric })),
    ...secondary.map(({ metric }, at) => ({ path: `/secondary/${at}`, metric })),
  ];
  refuse(
    named.flatMap(({ path, metric }, at) => {
      const unknown = metricProblem(metric);
      if (unknown !== undefined) return [{ path: `${path}/metric`, message: unknown }];
      const earlier = named.findIndex((other) => other.metric === metric);
      return earlier === at
        ? []
        : [{ path: `${path}/metric`, message: `is the metric of ${named[earlier]!.path} already` }];
    }),
  );
  const { metrics, ...settled } = settleRules({ ...given, guardrails, secondary });
  const judged = (role: string) =>
    metrics
      .filter((metric) => metric.role === role)
      .map(({ metric, direction, guardrail }) => ({
        metric: metric.name,
        direction,
        ...(guardrail && { margin: guardrail.margin, scale: guardrail.scale ?? 'relative' }),
      }));
  return {
    ...settled,
    control,
    minimumEffect,
    maximumDays,
    primary: judged('primary')[0]!,
    guardrails: judged('guardrail') as AbTestRules['guardrails'],
    secondary: judged('secondary'),
  };
}

/**
 * Whether a split can be judged by a test.
 * @param arms names of the arms of the split in force; undefined where the endpoint has none.
 * @throws DomainError VALIDATION_FAILED.
 */
export function assertFits(
  { control }: AbTestRules,
  factors: Factors | null,
  arms: readonly string[] | undefined,
): void {
  if (!arms)
    throw new DomainError(
      'VALIDATION_FAILED',
      'The endpoint has no split yet; PUT one with the arms that are to be compared first.',
    );
  const list = arms.map((name) => `"${name}"`).join(', ');
  const problems: Problem[] = [];
  if (!arms.includes(control))
    problems.push({
      path: '/control',
      message: `names no arm of the split in force; its arms are ${list}`,
    });
  if (arms.length < 2)
    problems.push({ path: '/control', message: `is held against nothing: the split in force has one arm` });
  refuse([...problems, ...(factors ? factorProblems(factors, control, arms) : [])]);
}

/** Every arm of the split once, every pair of levels once, at least two levels of each factor. */
function factorProblems({ arms: given }: Factors, control: string, arms: readonly string[]): Problem[] {
  const problem = (message: string) => [{ path: '/factors/arms', message }];
  const named = given.map(({ arm }) => arm);
  const missing = arms.filter((arm) => !named.includes(arm));
  const strange = named.filter((arm) => !arms.includes(arm));
  if (missing.length > 0) return problem(`leaves out "${missing[0]}"; every arm of the split has its levels`);
  if (strange.length > 0) return problem(`names "${strange[0]}", which is no arm of the split in force`);
  if (new Set(named).size < named.length) return problem('names an arm twice');
  const levels = levelsOf({ names: ['', ''], arms: given }, control);
  const pairs = new Set(given.map(({ levels: pair }) => JSON.stringify(pair)));
  if (levels.some((each) => each.length < 2)) return problem('has fewer than two levels of a factor');
  if (pairs.size < given.length) return problem('has two arms with the same levels');
  if (pairs.size !== levels[0]!.length * levels[1]!.length)
    return problem('leaves out a pair of levels; a factorial test has an arm for every pair');
  return [];
}

/** Levels of each factor, control's first. */
export function levelsOf({ arms }: Factors, control: string): string[][] {
  const ordered = [...arms].sort((a, b) => Number(b.arm === control) - Number(a.arm === control));
  return [0, 1].map((factor) => [...new Set(ordered.map(({ levels }) => levels[factor]!))]);
}

function refuse(problems: readonly Problem[]): void {
  if (problems.length === 0) return;
  const said = problems.map(({ path, message }) => `${path} ${message}`).join('; ');
  throw new DomainError('VALIDATION_FAILED', `The A/B test is not valid: ${said}.`, problems);
}
