import { randomBytes } from 'node:crypto';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import { EmbeddedPostgres } from '../../apps/standalone/src/embedded-postgres.js';
import { freePort } from '../../apps/standalone/src/free-port.js';
import { startServer, type Server } from './processes.js';

export interface Stack {
  readonly registry: Server;
  readonly gateway: Server;
  readonly databaseUrl: string;
  readonly upstream: Server;
  /** Sends a request to the registry's API and returns the answer; anything but 2xx throws. */
  call<T>(method: string, path: string, body?: unknown): Promise<T>;
  sql(text: string): Promise<void>;
  /** One more gateway, with settings of its own. It ends with the stack. */
  gatewayWith(settings: Record<string, string>): Promise<Server>;
  stop(): Promise<void>;
}

/** Endpoint that the benchmarks resolve and call: two arms, 50/50, one upstream. */
export const ENDPOINT = 'bench';

/** The real stack from the build output, on PostgreSQL of its own, with a model endpoint that costs nothing. */
export async function startStack(): Promise<Stack> {
  // What has been started is also ended when something after it fails to start.
  await using started = new AsyncDisposableStack();
  const directory = await mkdtemp(join(tmpdir(), 'catena-bench-'));
  started.defer(() => rm(directory, { recursive: true, force: true }));
  await chmod(directory, 0o755);
  const postgres = await EmbeddedPostgres.start(join(directory, 'postgres'), await freePort());
  started.defer(() => postgres.stop());
  const env = {
    DATABASE_URL: postgres.url(),
    // The benchmarks store no artifact; a registry starts without its object store.
    S3_ENDPOINT: 'http://127.0.0.1:9',
    AWS_ACCESS_KEY_ID: 'none',
    AWS_SECRET_ACCESS_KEY: 'none',
    CATENA_ENCRYPTION_KEYS: `bench:${randomBytes(32).toString('base64')}`,
    CATENA_REGISTRY_PORT: '0',
    CATENA_GATEWAY_PORT: '0',
    CATENA_DATA_DIR: directory,
  };
  const upstream = await startServer('bench/reference/upstream.js');
  started.defer(() => upstream.stop());
  const registry = await startServer('apps/registry/src/main.js', env);
  started.defer(() => registry.stop());
  const gateway = await startServer('apps/gateway/src/main.js', env);
  started.defer(() => gateway.stop());
  const stack: Stack = {
    registry,
    gateway,
    upstream,
    databaseUrl: postgres.url(),
    async call<T>(method: string, path: string, body?: unknown): Promise<T> {
      const response = await fetch(`${registry.url}/api/v1${path}`, {
        method,
        headers: { 'content-type': 'application/json' },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
      return (await response.json()) as T;
    },
    async sql(text) {
      const client = new Client({ connectionString: postgres.url() });
      await client.connect();
      try {
        await client.query(text);
      } finally {
        await client.end();
      }
    },
    async gatewayWith(settings) {
      const more = await startServer('apps/gateway/src/main.js', {
        ...env,
        CATENA_DATA_DIR: join(directory, 'more'),
        ...settings,
      });
      running.defer(() => more.stop());
      return more;
    },
    stop: () => running.disposeAsync(),
  };
  await register(stack);
  await resolvable(gateway, ENDPOINT);
  const running = started.move();
  return stack;
}

async function register(stack: Stack): Promise<void> {
  await stack.call('POST', '/model-endpoints', {
    name: 'bench-gpu',
    protocol: 'openai',
    replicas: [{ baseUrl: `${stack.upstream.url}/v1` }],
    models: ['bench'],
    prices: { inputMicroUsdPerMillionTokens: 150_000, outputMicroUsdPerMillionTokens: 600_000 },
    maxConcurrencyPerReplica: 256,
  });
  await stack.call('POST', '/prompts', { name: 'bench' });
  await stack.call('POST', '/prompts/bench/versions', {
    content: {
      type: 'chat',
      messages: [{ role: 'system', content: 'You help customers of {{shop}}.' }, '{{messages}}'],
    },
  });
  await stack.call('POST', '/chains', { name: 'bench' });
  for (const temperature of [0, 1])
    await stack.call('POST', '/chains/bench/versions', {
      content: {
        prompt: 'bench@1',
        generate: { modelEndpoint: 'bench-gpu', model: 'bench', parameters: { temperature } },
      },
    });
  await stack.call('POST', '/endpoints', { name: ENDPOINT });
  await stack.call('PUT', `/endpoints/${ENDPOINT}/split`, {
    arms: [
      { name: 'control', chain: 'bench@1', weightBps: 5000 },
      { name: 'candidate', chain: 'bench@2', weightBps: 5000 },
    ],
  });
}

/** Waits until the gateway routes an endpoint. */
export async function resolvable(gateway: Server, endpoint: string, seconds = 120): Promise<void> {
  const end = Date.now() + seconds * 1000;
  while (Date.now() < end) {
    const response = await fetch(`${gateway.url}/v1/resolve/${endpoint}?unit=u`);
    await response.arrayBuffer();
    if (response.ok) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`The gateway did not learn of endpoint "${endpoint}" within ${seconds} s.`);
}
