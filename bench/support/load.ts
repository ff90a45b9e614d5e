import autocannon from 'autocannon';
import { cpuMs, type Server } from './processes.js';

export interface Load {
  readonly requestsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
  readonly requests: number;
  /** CPU time the server used per request, in microseconds. */
  readonly cpuUsPerRequest: number;
}

export interface Request {
  readonly path: string;
  readonly method?: 'GET' | 'POST';
  readonly body?: string;
  readonly headers?: Record<string, string>;
}

/** Loads a server for some seconds over keep-alive connections. Any answer but 2xx makes the run worthless: it throws. */
export async function load(
  server: Server,
  request: Request,
  connections: number,
  seconds: number,
): Promise<Load> {
  const before = await cpuMs(server.pid);
  const result = await autocannon({
    url: server.url + request.path,
    method: request.method ?? 'GET',
    headers: {
      ...(request.body === undefined ? {} : { 'content-type': 'application/json' }),
      ...request.headers,
    },
    ...(request.body === undefined ? {} : { body: request.body }),
    connections,
    duration: seconds,
  });
  const cpu = (await cpuMs(server.pid)) - before;
  if (result.non2xx > 0 || result.errors > 0)
    throw new Error(`${request.path}: ${result.non2xx} answers other than 2xx, ${result.errors} errors`);
  return {
    requestsPerSecond: result.requests.total / result.duration,
    p50Ms: result.latency.p50,
    p99Ms: result.latency.p99,
    maxMs: result.latency.max,
    requests: result.requests.total,
    cpuUsPerRequest: (cpu * 1000) / result.requests.total,
  };
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

export interface Comparison {
  readonly subject: number;
  readonly reference: number;
  /** Median of the ratios of the rounds, subject over reference; each round measures both, back to back. */
  readonly ratio: number;
  readonly ratios: readonly number[];
}

/** Measures two things in turn, A B B A …, so that a drifting machine bothers both alike. */
export async function compare(
  rounds: number,
  subject: () => Promise<number> | number,
  reference: () => Promise<number> | number,
): Promise<Comparison> {
  const pairs: [number, number][] = [];
  for (let round = 0; round < rounds; round++) {
    if (round % 2 === 0) {
      const first = await subject();
      pairs.push([first, await reference()]);
    } else {
      const first = await reference();
      pairs.push([await subject(), first]);
    }
  }
  const ratios = pairs.map(([a, b]) => a / b);
  return {
    subject: median(pairs.map(([a]) => a)),
    reference: median(pairs.map(([, b]) => b)),
    ratio: median(ratios),
    ratios,
  };
}

/** Comparisons of the same things in several processes as one: medians over all their rounds. */
export function pooled(found: readonly Comparison[]): Comparison {
  const ratios = found.flatMap((one) => one.ratios);
  return {
    subject: median(found.map(({ subject }) => subject)),
    reference: median(found.map(({ reference }) => reference)),
    ratio: median(ratios),
    ratios,
  };
}

/** Measures several things in turns, A B C C B A …. @returns what was measured of each, by round. */
export async function inTurns<T>(rounds: number, ...measures: readonly (() => Promise<T>)[]): Promise<T[][]> {
  const found: T[][] = measures.map(() => []);
  for (let round = 0; round < rounds; round++)
    for (let turn = 0; turn < measures.length; turn++) {
      const index = round % 2 === 0 ? turn : measures.length - 1 - turn;
      found[index]!.push(await measures[index]!());
    }
  return found;
}

/** Median of the ratios of the rounds. */
export function medianRatio(subject: readonly number[], reference: readonly number[]): number {
  return median(subject.map((value, round) => value / reference[round]!));
}
