import { Client, type Dispatcher } from 'undici';
import type { Request } from './load.js';

export interface Latencies {
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly requests: number;
}

/**
 * One request after the other over one connection, for some seconds: milliseconds, finer than a load tells, to the first
 * content of the answer (`until: 'first'`) or to its end.
 * @throws Error for any answer but 200.
 */
export async function latencies(
  url: string,
  { path, body, headers }: Request,
  until: 'first' | 'end',
  seconds: number,
): Promise<Latencies> {
  const client = new Client(url, { pipelining: 1 });
  const found: number[] = [];
  const end = performance.now() + seconds * 1000;
  try {
    while (performance.now() < end) {
      const { firstMs, endMs } = await ask(client, path, body!, headers);
      found.push(until === 'first' ? firstMs : endMs);
    }
  } finally {
    await client.close();
  }
  found.sort((a, b) => a - b);
  const at = (share: number) => found[Math.min(found.length - 1, Math.floor(found.length * share))]!;
  return { p50Ms: at(0.5), p99Ms: at(0.99), requests: found.length };
}

function ask(
  client: Client,
  path: string,
  body: string,
  headers: Request['headers'],
): Promise<{ firstMs: number; endMs: number }> {
  return new Promise((resolve, reject) => {
    const started = performance.now();
    let firstMs = 0;
    let status = 0;
    const handler: Dispatcher.DispatchHandler = {
      onRequestStart() {},
      onResponseStart(_controller, code) {
        status = code;
      },
      onResponseData(_controller, chunk) {
        if (firstMs === 0 && chunk.includes('"content":"')) firstMs = performance.now() - started;
      },
      onResponseEnd() {
        if (status === 200 && firstMs > 0) resolve({ firstMs, endMs: performance.now() - started });
        else reject(new Error(`${path}: ${status}, ${firstMs > 0 ? 'with' : 'without'} content`));
      },
      onResponseError(_controller, error) {
        reject(error);
      },
    };
    client.dispatch(
      { method: 'POST', path, headers: { 'content-type': 'application/json', ...headers }, body },
      handler,
    );
  });
}
