import Table from 'cli-table3';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ContractOutcome } from '#libs/core/contract/ladder.js';
import type { RegistryClient } from './registry-client.js';
import { NAMES } from './setup.js';
import type { Outcome } from './send-tickets.js';

interface Group {
  readonly chain: string;
  readonly chainVersion: number;
  readonly requests: number;
  readonly ok: number;
  readonly errors: number;
  readonly schemaValidRate: number | null;
  readonly contractOutcomes: Readonly<Partial<Record<ContractOutcome, number>>>;
  readonly latencyMs: { readonly p50: number | null; readonly p95: number | null };
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly costMicroUsd: number;
}

/** How answers came to satisfy the contract, or did not. */
const OUTCOMES: readonly (readonly [ContractOutcome, string])[] = [
  ['valid', '  at once'],
  ['repaired', '  repaired'],
  ['reasked', '  asked again'],
  ['violated', '  not at all'],
];

const ROWS_TIMEOUT_MS = 30_000;

/** Waits until every request sent since `from` has its row. @throws Error when some never arrive. */
export async function readComparison(
  registry: RegistryClient,
  from: Date,
  sent: number,
): Promise<readonly Group[]> {
  const deadline = Date.now() + ROWS_TIMEOUT_MS;
  for (;;) {
    const query = new URLSearchParams({
      endpoint: NAMES.endpoint,
      groupBy: 'chainVersion',
      from: from.toISOString(),
      to: new Date(Date.now() + 60_000).toISOString(),
    });
    const { groups } = await registry.call<{ groups: Group[] }>('GET', `/inferences/summary?${query}`);
    const found = groups.reduce((sum, { requests }) => sum + requests, 0);
    if (found >= sent) return groups;
    if (Date.now() > deadline) throw new Error(`Only ${found} of ${sent} inference rows have arrived.`);
    await sleep(200);
  }
}

/** The versions side by side. */
export function comparisonTable(groups: readonly Group[], outcome: Outcome): string {
  const table = new Table({
    head: ['', ...groups.map(({ chain, chainVersion }) => `${chain}@${chainVersion}`)],
    style: { head: [], border: [] },
    colAligns: ['left', ...groups.map(() => 'right' as const)],
  });
  const row = (title: string, value: (group: Group) => string) => table.push([title, ...groups.map(value)]);
  row('requests', ({ requests }) => String(requests));
  row('answered', ({ ok }) => String(ok));
  row('schema-valid', ({ schemaValidRate }) => percent(schemaValidRate));
  for (const [outcome, title] of OUTCOMES)
    row(title, ({ contractOutcomes }) => String(contractOutcomes[outcome] ?? 0));
  row('right action', (group) => {
    const right = outcome.rightActions.get(`${group.chain}@${group.chainVersion}`) ?? 0;
    return percent(group.requests > 0 ? right / group.requests : null);
  });
  row('latency p50', ({ latencyMs }) => milliseconds(latencyMs.p50));
  row('latency p95', ({ latencyMs }) => milliseconds(latencyMs.p95));
  row('input tokens', ({ inputTokens }) => inputTokens.toLocaleString('en'));
  row('output tokens', ({ outputTokens }) => outputTokens.toLocaleString('en'));
  row('cost', ({ costMicroUsd }) => `$${(costMicroUsd / 1e6).toFixed(6)}`);
  row('cost per 1000 requests', ({ costMicroUsd, requests }) =>
    requests > 0 ? `$${(costMicroUsd / requests / 1000).toFixed(4)}` : '–',
  );
  return table.toString();
}

function percent(share: number | null): string {
  return share === null ? '–' : `${(share * 100).toFixed(1)} %`;
}

function milliseconds(value: number | null): string {
  return value === null ? '–' : `${Math.round(value)} ms`;
}
