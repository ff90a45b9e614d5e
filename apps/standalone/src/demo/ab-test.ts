import Table from 'cli-table3';
import { setTimeout as sleep } from 'node:timers/promises';
import type { AbTestAnalysis, MetricResult, Reading } from '#libs/core/ab-test/results.js';
import { differenceIn, intervalIn, number, valueIn } from '#libs/core/ab-test/words.js';
import type { RegistryClient } from './registry-client.js';
import type { Judgement } from './send-tickets.js';
import { NAMES } from './setup.js';

/** Judged by the demo: was the action of the answer the one that helps the customer? */
const FEEDBACK = 'right_action';
const RESULTS_TIMEOUT_MS = 30_000;

interface AbTest {
  readonly id: string;
}

/** Starts a test of the second version against the first; one that an earlier demo left running is stopped. @returns its id. */
export async function startAbTest(registry: RegistryClient): Promise<string> {
  const path = `/endpoints/${NAMES.endpoint}/ab-tests`;
  const { items } = await registry.call<{ items: AbTest[] }>('GET', `${path}?status=running`);
  for (const { id } of items)
    await registry.call('POST', `${path}/${id}/stop`, { reason: 'The demo begins again.' });
  const { id } = await registry.call<AbTest>('POST', path, {
    hypothesis: 'A schema that is enforced leads to the right action more often, for not much more money.',
    control: 'v1',
    primary: { metric: `feedback:${FEEDBACK}` },
    guardrails: [
      { metric: 'error_rate', margin: 0.1 },
      { metric: 'cost_micro_usd_per_request', margin: 1 },
    ],
    secondary: [{ metric: 'schema_valid_rate' }, { metric: 'latency_ms_p50' }],
    minimumEffect: 0.1,
    maximumDays: 14,
    minimumUnits: 30,
    tunedUnits: 100,
  });
  await registry.call('POST', `${path}/${id}/start`);
  return id;
}

/** Tells the gateway which answers were right, as the application that called it would. @throws Error when it is refused. */
export async function sendFeedback(gateway: string, judgements: readonly Judgement[]): Promise<void> {
  const events = judgements.map(({ inferenceId, isRight }) => ({
    eventId: `demo-${inferenceId}`,
    inferenceId,
    name: FEEDBACK,
    value: isRight,
    source: 'code',
    sourceId: 'demo',
  }));
  const response = await fetch(`${gateway}/v1/feedback`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ events }),
  });
  if (!response.ok) throw new Error(`The feedback was refused: ${response.status} ${await response.text()}`);
  await response.arrayBuffer();
}

/** Waits until the test has counted every request and every judgement. @throws Error when it does not. */
export async function readResults(
  registry: RegistryClient,
  id: string,
  requests: number,
  judgements: readonly Judgement[],
): Promise<AbTestAnalysis> {
  const deadline = Date.now() + RESULTS_TIMEOUT_MS;
  for (;;) {
    const results = await registry.call<AbTestAnalysis>(
      'GET',
      `/endpoints/${NAMES.endpoint}/ab-tests/${id}/results`,
    );
    const counted = results.arms.reduce((sum, arm) => sum + arm.requests, 0);
    const isJudged = results.arms.every(({ arm, metrics }) => {
      const ofArm = judgements.filter((judgement) => judgement.arm === arm);
      const right = ofArm.filter(({ isRight }) => isRight).length;
      return ofArm.length === 0 || Math.abs((metrics[0]!.value ?? -1) - right / ofArm.length) < 1e-9;
    });
    if (counted >= requests && isJudged) return results;
    if (Date.now() > deadline)
      throw new Error(`The A/B test has counted only ${counted} of ${requests} requests.`);
    await sleep(200);
  }
}

/** The numbers of the result page. */
export function resultsText({ arms, treatments, sampleRatio, decision }: AbTestAnalysis): string {
  const [control] = arms;
  const [treatment] = treatments;
  const head = [
    '',
    `control ${control!.arm}`,
    `treatment ${treatment!.arm}`,
    'difference',
    '95 % interval, any look',
    'p',
    'chance to win',
  ];
  const table = new Table({
    head,
    style: { head: [], border: [] },
    colAligns: ['left', ...head.slice(1).map(() => 'right' as const)],
  });
  const values = (at: number) =>
    arms.map(({ metrics }) => {
      const { unit, value } = metrics[at]!;
      return value === null ? '–' : valueIn(unit, value);
    });
  table.push(['customers', ...arms.map(({ units }) => String(units)), '', '', '', '']);
  for (const [at, metric] of treatment!.metrics.entries())
    table.push([`${metric.metric} (${metric.role})`, ...values(at), ...readingCells(metric)]);
  const guardrails = treatment!.metrics.flatMap(({ metric, guardrail }) =>
    guardrail ? [`${metric} ${guardrail.state}`] : [],
  );
  const ratio = sampleRatio.alarm ? `ALARM: ${sampleRatio.cause}` : 'as the split says';
  return `${table.toString()}
Guardrails:    ${guardrails.join(', ')}
Sample ratio:  ${ratio} (p = ${number(sampleRatio.pValue)})
Decision:      ${decision.decision.toUpperCase()} (${decision.reason})
  ${decision.sentence}`;
}

function readingCells(metric: MetricResult): string[] {
  const scale = metric.relative ? 'relative' : 'absolute';
  const reading: Reading | null = metric[scale];
  if (!reading) return ['–', '–', '–', '–'];
  const { interval, adjustedPValue } = reading.alwaysValid;
  const isKnown = reading.standardError !== null;
  return [
    differenceIn(metric.unit, scale, reading.estimate),
    isKnown ? intervalIn(metric.unit, scale, interval) : '–',
    isKnown ? number(adjustedPValue) : '–',
    isKnown ? `${number(reading.chanceToWin * 100)} %` : '–',
  ];
}
