import type { Client } from 'pg';
import { createSimulator, type Simulator } from '../../apps/model-simulator/src/simulator.js';
import { openBlackHole, type BlackHole } from '../support/black-hole.js';
import { eventually, startTestGateway } from '../support/gateway.js';
import { ServingRows } from '../support/serving-rows.js';
import { expected, FAULTS, inWords, MAX_ATTEMPTS, POLICIES, type Fault, type Policy } from './faults.js';
import { WHOLE_INFERENCE } from '../support/inferences.js';

/** One request: a fault, met by an answer in one piece or a stream, of a chain with one retry policy. */
export interface Cell {
  readonly fault: Fault;
  readonly isStreamed: boolean;
  readonly policy: Policy;
  readonly expected: string;
  /** In the words of `expected`; with what row, caller and model endpoint disagree about, if they do. */
  readonly seen: string;
}

const TIMEOUTS = {
  CATENA_CONNECT_TIMEOUT_MS: '300',
  CATENA_HEADERS_TIMEOUT_MS: '400',
  CATENA_TTFT_TIMEOUT_MS: '1000',
  CATENA_IDLE_TIMEOUT_MS: '800',
  CATENA_TOTAL_TIMEOUT_MS: '6000',
};
/** Requests at the same time: most of them only wait for a clock. */
const CONCURRENCY = 24;

interface Planned extends Omit<Cell, 'seen'> {
  /** Of its serving endpoint, its model endpoint and its model: no cell shares a breaker or a retry budget. */
  readonly name: string;
}

/** Sends all requests through a real gateway to a real simulator. @param database migrated, and empty. */
export async function runMatrix(database: { url: string; client: Client }): Promise<Cell[]> {
  await using started = new AsyncDisposableStack();
  const planned = plan();
  const simulator = await createSimulator({
    port: 0,
    ttftMs: 5,
    tokensPerSecond: 500,
    answerTokens: 12,
    jitter: 0,
    models: ['spare', ...planned.map(({ name }) => name)],
  });
  started.defer(() => simulator.close());
  const blackHole = await openBlackHole();
  started.defer(() => blackHole.close());
  const rows = new ServingRows(database.client);
  await rows.inTransaction(async () => {
    await rows.setModelEndpoint('spare', { replicas: [`${simulator.url}/v1`], models: ['spare'] });
    for (const cell of planned) await serve(rows, cell, simulator, blackHole);
  });
  const gateway = await startTestGateway(database.url, { settings: TIMEOUTS });
  started.defer(() => gateway.close());
  const answers = new Map<Planned, Answer>();
  const run = async (cell: Planned) => void answers.set(cell, await ask(gateway.url, cell));
  await inParallel(
    planned.filter(({ fault }) => !fault.isSlow),
    run,
  );
  for (const cell of planned) if (cell.fault.isSlow) await run(cell);
  const stored = await storedRows(database.client, planned.length);
  return planned.map((cell) => {
    const answer = answers.get(cell)!;
    return { ...cell, seen: seen(cell, answer, stored.get(answer.id), simulator) };
  });
}

function plan(): Planned[] {
  const planned: Planned[] = [];
  for (const fault of FAULTS)
    for (const isStreamed of [false, true])
      for (const policy of POLICIES) {
        const words = expected(fault, isStreamed, policy);
        if (words === undefined) continue;
        planned.push({ fault, isStreamed, policy, expected: words, name: `cell-${planned.length}` });
      }
  return planned;
}

async function serve(
  rows: ServingRows,
  { name, fault, policy }: Planned,
  simulator: Simulator,
  blackHole: BlackHole,
): Promise<void> {
  const { at } = fault;
  const where =
    at === 'nobody listens'
      ? 'http://127.0.0.1:9'
      : at === 'no answer to SYN'
        ? blackHole.url
        : simulator.url;
  await rows.setModelEndpoint(name, {
    replicas: at === 'no replica' ? [] : [`${where}/v1`],
    models: [name],
  });
  const times = policy === 'retry, fault once' ? ';times=1' : '';
  const model = typeof at === 'string' ? name : `${name}:fault=${at.directive}${times}`;
  const chain = await rows.addChain(name, {
    generate: { modelEndpoint: name, model },
    ...(policy.startsWith('retry') && {
      retry: { maxAttempts: MAX_ATTEMPTS, initialBackoffMs: 1, maxBackoffMs: 50 },
    }),
    ...(policy === 'fallback' && { fallbacks: [{ modelEndpoint: 'spare', model: 'spare' }] }),
  });
  await rows.setSplit(name, [{ name: 'only', weightBps: 10_000, chain }]);
}

interface Answer {
  readonly id: string;
  readonly status: number;
  readonly code: string | undefined;
  readonly isDone: boolean;
  readonly retryAfter: string | null;
}

async function ask(url: string, { name, isStreamed }: Planned): Promise<Answer> {
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      model: name,
      messages: [{ role: 'user', content: 'Where is my parcel?' }],
      stream: isStreamed,
    }),
  });
  const text = await response.text();
  const isStream = response.headers.get('content-type')?.includes('text/event-stream') === true;
  const last = isStream ? text.trim().split('\n\n').at(-1)!.slice('data: '.length) : text;
  const isDone = last === '[DONE]';
  const parsed: { error?: { code: string }; choices?: unknown[] } = isDone ? {} : JSON.parse(last);
  return {
    id: response.headers.get('x-catena-inference-id')!,
    status: response.status,
    code: parsed.error?.code,
    isDone: isStream ? isDone && !text.includes('"error"') : (parsed.choices?.length ?? 0) > 0,
    retryAfter: response.headers.get('retry-after'),
  };
}

interface StoredRow {
  readonly id: string;
  readonly status: string;
  readonly error_code: string | null;
  readonly attempts: number;
  readonly model_endpoint: string | null;
  readonly response: string | null;
}

async function storedRows(client: Client, count: number): Promise<Map<string, StoredRow>> {
  let rows: StoredRow[] = [];
  await eventually(async () => {
    ({ rows } = await client.query<StoredRow>(
      `SELECT id, status, error_code, attempts, model_endpoint, response FROM ${WHOLE_INFERENCE}`,
    ));
    return rows.length === count;
  });
  return new Map(rows.map((row) => [row.id, row]));
}

/** What was seen, and everything in which caller, row and model endpoint do not agree. */
function seen(cell: Planned, answer: Answer, row: StoredRow | undefined, simulator: Simulator): string {
  if (!row) return `${inWords(answer, 0)}, and no row`;
  const doubts: string[] = [];
  const isOk = answer.status === 200 && answer.code === undefined;
  if (isOk !== answer.isDone)
    doubts.push(isOk ? 'the answer is not complete' : 'the answer says it is complete');
  if (row.status !== (isOk ? 'ok' : 'error')) doubts.push(`the row says ${row.status}`);
  if (row.error_code !== (answer.code ?? null)) doubts.push(`the row says ${row.error_code}`);
  if (answer.status === 200 && row.response === null) doubts.push('the row lacks what was sent');
  if ([429, 503].includes(answer.status) && answer.retryAfter === null) doubts.push('no Retry-After');
  if (typeof cell.fault.at !== 'string') {
    const ownAttempts = row.attempts - (row.model_endpoint === 'spare' ? 1 : 0);
    const arrived = simulator.received.filter(({ body }) =>
      String(body['model']).startsWith(`${cell.name}:`),
    ).length;
    if (arrived !== ownAttempts) doubts.push(`the model endpoint saw ${arrived} requests`);
  }
  return [inWords(answer, row.attempts), ...doubts].join('; ');
}

async function inParallel<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  let next = 0;
  const workers = Array.from({ length: CONCURRENCY }, async () => {
    while (next < items.length) await work(items[next++]!);
  });
  await Promise.all(workers);
}

/** A table in Markdown; a cell that is not as expected has both. */
export function matrixTable(cells: readonly Cell[]): string {
  const heads = ['fault', 'answer', ...POLICIES];
  const lines: string[][] = [];
  for (const fault of FAULTS)
    for (const isStreamed of [false, true]) {
      const own = cells.filter((cell) => cell.fault === fault && cell.isStreamed === isStreamed);
      if (own.length === 0) continue;
      lines.push([
        fault.name,
        isStreamed ? 'streamed' : 'whole',
        ...POLICIES.map((policy) => {
          const cell = own.find((one) => one.policy === policy);
          if (!cell) return '';
          return cell.seen === cell.expected ? cell.seen : `**expected ${cell.expected}, seen ${cell.seen}**`;
        }),
      ]);
    }
  const widths = heads.map((head, column) =>
    Math.max(head.length, ...lines.map((line) => line[column]!.length)),
  );
  const row = (texts: readonly string[]) =>
    `| ${texts.map((text, column) => text.padEnd(widths[column]!)).join(' | ')} |`;
  return [row(heads), `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`, ...lines.map(row)].join(
    '\n',
  );
}
