import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createGateway, type Gateway } from '../../apps/gateway/src/gateway.js';
import { readSettings } from '../../libs/platform/config/settings.js';
import { createLogger } from '../../libs/platform/log/logger.js';
import { TEST_ENCRYPTION_KEYS } from './keys.js';
import type { Answer } from './registry.js';

export interface TestGateway {
  readonly gateway: Gateway;
  readonly url: string;
  readonly dataDir: string;
  /** Sends a GET and parses the answer as JSON where it is. */
  get<T = any>(path: string, headers?: Record<string, string>): Promise<Answer<T>>;
  /** Value of a metric without labels. */
  metric(name: string): Promise<number>;
  /** Stops the gateway; its data directory stays, unless it was made for it. */
  close(): Promise<void>;
}

export interface TestGatewayOptions {
  /** Kept over restarts; without it the gateway gets a directory of its own that goes with it. */
  readonly dataDir?: string;
  readonly settings?: Record<string, string>;
  /** Wait until it is ready; true unless given. */
  readonly waitUntilReady?: boolean;
}

/** The real gateway in this process, on a port of its own. */
export async function startTestGateway(
  databaseUrl: string,
  { dataDir, settings = {}, waitUntilReady = true }: TestGatewayOptions = {},
): Promise<TestGateway> {
  const directory = dataDir ?? (await temporaryDirectory());
  const read = readSettings({
    DATABASE_URL: databaseUrl,
    CATENA_ENCRYPTION_KEYS: TEST_ENCRYPTION_KEYS,
    CATENA_DATA_DIR: directory,
    CATENA_GATEWAY_PORT: '0',
    CATENA_LOG_LEVEL: 'silent',
    ...settings,
  });
  const gateway = await createGateway(read, createLogger('gateway', read.CATENA_LOG_LEVEL));
  const { url } = gateway;
  const get = async (path: string, headers: Record<string, string> = {}) => {
    const response = await fetch(url + path, {
      // A connection kept open would make the gateway wait at its end.
      headers: { connection: 'close', ...headers },
    });
    const text = await response.text();
    const isJson = response.headers.get('content-type')?.includes('json');
    return { status: response.status, body: isJson ? JSON.parse(text) : text, headers: response.headers };
  };
  const test: TestGateway = {
    gateway,
    url,
    dataDir: directory,
    get,
    async metric(name) {
      const { body } = await get('/metrics');
      const line = String(body)
        .split('\n')
        .find((text) => text.startsWith(`${name} `));
      return Number(line?.split(' ')[1]);
    },
    async close() {
      await gateway.close();
      if (dataDir === undefined) await rm(directory, { recursive: true, force: true });
    },
  };
  if (waitUntilReady) await eventually(async () => (await get('/readyz')).status === 200);
  return test;
}

export function temporaryDirectory(): Promise<string> {
  return mkdtemp(join(tmpdir(), 'catena-gateway-test-'));
}

/** Waits until `check` holds. */
export async function eventually(
  check: () => Promise<boolean> | boolean,
  withinMs = 10_000,
  everyMs = 5,
): Promise<void> {
  const deadline = performance.now() + withinMs;
  while (!(await check())) {
    if (performance.now() > deadline)
      throw new Error(`It did not become true within ${withinMs} ms: ${check}`);
    await sleep(everyMs);
  }
}
