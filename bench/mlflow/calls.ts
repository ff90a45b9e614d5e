import type { Subject } from './servers.js';

/** One call of the protocol. @throws Error for any answer but 200. */
export async function call<T>(
  subject: Subject,
  method: 'GET' | 'POST' | 'PUT',
  path: string,
  body?: unknown,
): Promise<T> {
  const answer = await subject.pool.request({
    method,
    path,
    headers: { 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
  const text = await answer.body.text();
  if (answer.statusCode !== 200)
    throw new Error(`${subject.name}: ${method} ${path}: ${answer.statusCode} ${text.slice(0, 500)}`);
  return JSON.parse(text) as T;
}

export interface Measured {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p95Ms: number;
}

/** Has `clients` call again and again, each waiting for its answer, for some seconds and at least once. */
export async function hammer(
  clients: number,
  seconds: number,
  work: (client: number, nth: number) => Promise<unknown>,
): Promise<Measured> {
  const latencies: number[] = [];
  const began = performance.now();
  const end = began + seconds * 1000;
  await Promise.all(
    Array.from({ length: clients }, async (_, client) => {
      for (let nth = 0; nth === 0 || performance.now() < end; nth++) {
        const sent = performance.now();
        await work(client, nth);
        latencies.push(performance.now() - sent);
      }
    }),
  );
  const elapsed = (performance.now() - began) / 1000;
  latencies.sort((a, b) => a - b);
  const at = (share: number) =>
    latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * share))]!;
  return { perSecond: latencies.length / elapsed, p50Ms: at(0.5), p95Ms: at(0.95) };
}
