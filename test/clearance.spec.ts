import { createServer, type Server } from 'node:http';
import { createHash } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import fc from 'fast-check';
import { v7 } from 'uuid';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ReplicaLanes } from '../apps/gateway/src/dispatch/replica-lanes.js';
import { Shadows } from '../apps/gateway/src/shadows/shadows.js';
import type { EndpointRecord, ModelEndpointRecord } from '../apps/gateway/src/snapshot/records.js';
import { SnapshotBuilder } from '../apps/gateway/src/snapshot/snapshot-builder.js';
import { snapshotOf } from '../apps/gateway/src/snapshot/snapshot-loader.js';
import { SnapshotStore } from '../apps/gateway/src/snapshot/snapshot.store.js';
import { DATA_CLASSES, higherClass, isCleared, type DataClass } from '../libs/core/clearance/clearance.js';
import { DEFAULT_WORKSPACE_ID } from '../libs/platform/database/default-workspace.js';
import { createLogger } from '../libs/platform/log/logger.js';
import { SecretBox } from '../libs/platform/secrets/secret-box.js';
import { say, startChatStack, type ChatStack } from './support/chat.js';
import { createTestDatabase, type TestDatabase } from './support/database.js';
import { eventually, startTestGateway, type TestGateway } from './support/gateway.js';
import { TEST_ENCRYPTION_KEYS } from './support/keys.js';

const BEHAVIOURS = ['answers', 'fails', 'limits', 'mumbles', 'hangs up'] as const;
type Behaviour = (typeof BEHAVIOURS)[number] | 'repeats';

const ANSWER = JSON.stringify({
  id: 'a',
  object: 'chat.completion',
  choices: [{ index: 0, message: { role: 'assistant', content: 'yes' }, finish_reason: 'stop' }],
});
const CHUNKS = [
  `data: ${JSON.stringify({ id: 'a', choices: [{ index: 0, delta: { content: 'yes' }, finish_reason: null }] })}\n\n`,
  `data: ${JSON.stringify({ id: 'a', choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] })}\n\n`,
  'data: [DONE]\n\n',
].join('');

/** A model server that remembers what it was sent, and behaves as it is told. */
class Upstream {
  behaviour: Behaviour = 'answers';
  readonly seen: string[] = [];
  /** Answers are kept back until it is called. */
  release: (() => void) | undefined;
  private held: Promise<void> | undefined;
  private constructor(private readonly server: Server) {}

  static async start(): Promise<Upstream> {
    const server = createServer();
    const upstream = new Upstream(server);
    server.on('request', (request, response) => {
      let body = '';
      request.on('data', (chunk) => (body += chunk));
      const answer = async () => {
        if (request.method !== 'POST') return void response.writeHead(404).end();
        upstream.seen.push(body);
        await upstream.held;
        switch (upstream.behaviour) {
          case 'answers':
            if (JSON.parse(body).stream)
              return void response.writeHead(200, { 'content-type': 'text/event-stream' }).end(CHUNKS);
            return void response.writeHead(200, { 'content-type': 'application/json' }).end(ANSWER);
          case 'fails':
            return void response.writeHead(500).end('{"error":{"message":"no"}}');
          case 'limits':
            return void response.writeHead(429).end('{"error":{"message":"slow down"}}');
          case 'mumbles':
            return void response.writeHead(200).end('<html>');
          case 'repeats':
            return void response.writeHead(400).end(JSON.stringify({ error: { message: `Bad: ${body}` } }));
          case 'hangs up':
            return void request.socket.destroy();
        }
      };
      request.on('end', () => void answer());
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return upstream;
  }

  get baseUrl(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}/v1`;
  }

  hold(): void {
    this.held = new Promise((resolve) => (this.release = resolve));
  }

  close(): void {
    this.server.close();
    this.server.closeAllConnections();
  }
}

interface Configuration {
  readonly endpointClass: DataClass;
  /** By model endpoint. */
  readonly clearances: readonly DataClass[];
  /** The chain's generation and its fallbacks, as positions of model endpoints. */
  readonly generations: readonly number[];
  readonly maxAttempts: number;
  readonly maxConcurrency?: number;
  /** The generations of its shadows, likewise. */
  readonly shadows?: readonly (readonly number[])[];
}

const COUNT = 3;

describe('a request', () => {
  let database: TestDatabase;
  let gateway: TestGateway;
  let store: SnapshotStore;
  let shadows: Shadows;
  let upstreams: Upstream[];
  const builder = new SnapshotBuilder(new SecretBox(TEST_ENCRYPTION_KEYS), createLogger('test', 'silent'));
  beforeAll(async () => {
    database = await createTestDatabase();
    upstreams = await Promise.all(Array.from({ length: COUNT }, () => Upstream.start()));
    gateway = await startTestGateway(database.url, {
      settings: { CATENA_POLL_INTERVAL_MS: '60000', CATENA_BREAKER_FAILURES: '0' },
    });
    store = gateway.gateway.app.get(SnapshotStore, { strict: false });
    shadows = gateway.gateway.app.get(Shadows, { strict: false });
    builder.addPrompt({ versionId: 'prompt', text: '{"messages":["{{messages}}"],"type":"chat"}' });
  });
  afterAll(async () => {
    await gateway.close();
    for (const upstream of upstreams) upstream.close();
    await database.drop();
  });

  /** A chain version over these model endpoints. Returns its id. */
  function addChain(generations: readonly number[], maxAttempts: number, model = 'm'): string {
    const [generate, ...fallbacks] = generations.map((index) => ({ modelEndpoint: `m${index}`, model }));
    const versionId = v7();
    const retry = { maxAttempts, initialBackoffMs: 1, maxBackoffMs: 1 };
    const digest = `sha256:${'0'.repeat(64)}`;
    builder.addChain({
      versionId,
      name: 'chain',
      version: 1,
      digest,
      promptVersionId: 'prompt',
      text: JSON.stringify({ fallbacks, generate, prompt: { digest, name: 'prompt', version: 1 }, retry }),
    });
    return versionId;
  }

  /** Puts a configuration in force, as if it had been read from the database. */
  function configure(given: Configuration): void {
    const modelEndpoints = given.clearances.map((clearance, index): ModelEndpointRecord => ({
      id: `m${index}`,
      workspaceId: DEFAULT_WORKSPACE_ID,
      name: `m${index}`,
      protocol: 'openai',
      apiVersion: null,
      models: ['m'],
      inputMicroUsdPerMillionTokens: 0,
      outputMicroUsdPerMillionTokens: 0,
      clearance,
      maxConcurrencyPerReplica: given.maxConcurrency ?? 8,
      credential: null,
      replicas: [{ id: `r${index}`, baseUrl: upstreams[index]!.baseUrl }],
    }));
    const versionId = addChain(given.generations, given.maxAttempts);
    const shadows = (given.shadows ?? []).map((generations, index) => ({
      name: `shadow-${index}`,
      sampleBps: 10_000,
      chainVersionId: addChain(generations, given.maxAttempts, 'copy'),
    }));
    const record: EndpointRecord = {
      id: 'e',
      workspaceId: DEFAULT_WORKSPACE_ID,
      name: 'e',
      createdAt: '2026-11-22T00:00:00.000Z',
      dataClass: given.endpointClass,
      payloads: 'full',
      splitRevision: 1,
      salt: 's',
      overrides: {},
      arms: [{ name: 'a', weightBps: 10_000, ranges: [[0, 10_000]], chainVersionId: versionId }],
      shadows,
    };
    const served = modelEndpoints.map((one) => [one.name, builder.modelEndpoint(one)] as const);
    const endpoints = new Map([['e', builder.endpoint(record)!]]);
    const current = store.find()!;
    store.swap(snapshotOf(current, { ...current, endpoints, modelEndpoints: new Map(served) }));
  }

  interface Call {
    readonly header: DataClass | undefined;
    readonly metadata: DataClass | undefined;
    readonly stream: boolean;
  }

  /** @returns status and code of the answer; the body is read to its end. */
  async function send({
    header,
    metadata,
    stream,
  }: Call): Promise<{ status: number; code: string | undefined }> {
    const response = await fetch(`${gateway.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...(header && { 'x-catena-data-class': header }) },
      body: JSON.stringify({
        model: 'e',
        stream,
        messages: [{ role: 'user', content: 'a secret' }],
        ...(metadata && { metadata: { dataClass: metadata } }),
      }),
    });
    const text = await response.text();
    return { status: response.status, code: response.ok ? undefined : JSON.parse(text).error.code };
  }

  it('reaches no model endpoint that is not cleared for it, neither at first, nor again, nor as a fallback, nor as a copy', async () => {
    const dataClass = fc.constantFrom(...DATA_CLASSES);
    const call = fc.record<Call>({
      header: fc.option(dataClass, { nil: undefined }),
      metadata: fc.option(dataClass, { nil: undefined }),
      stream: fc.boolean(),
    });
    let refused = 0;
    let answered = 0;
    let copied = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.record<Configuration>({
          endpointClass: dataClass,
          clearances: fc.array(dataClass, { minLength: COUNT, maxLength: COUNT }),
          generations: fc.array(fc.nat(COUNT - 1), { minLength: 1, maxLength: 4 }),
          maxAttempts: fc.integer({ min: 1, max: 3 }),
          shadows: fc.array(fc.array(fc.nat(COUNT - 1), { minLength: 1, maxLength: 3 }), { maxLength: 2 }),
        }),
        fc.array(fc.constantFrom(...BEHAVIOURS), { minLength: COUNT, maxLength: COUNT }),
        fc.array(call, { minLength: 1, maxLength: 2 }),
        async (configuration, behaviours, calls) => {
          configure(configuration);
          for (const [index, upstream] of upstreams.entries()) upstream.behaviour = behaviours[index]!;
          for (const each of calls) {
            for (const upstream of upstreams) upstream.seen.length = 0;
            const { status, code } = await send(each);
            await eventually(() => shadows.inFlight === 0);
            copied += upstreams
              .flatMap(({ seen }) => seen)
              .filter((body) => JSON.parse(body).model === 'copy').length;
            const carried = [each.header, each.metadata].reduce<DataClass>(
              (highest, one) => (one ? higherClass(highest, one) : highest),
              configuration.endpointClass,
            );
            const may = (index: number) => isCleared(configuration.clearances[index]!, carried);
            for (const [index, upstream] of upstreams.entries())
              if (!may(index)) expect(upstream.seen).toEqual([]);
            const cleared = configuration.generations.filter(may);
            if (cleared.length === 0) {
              expect([status, code]).toEqual([403, 'model_endpoint_not_cleared']);
              refused++;
            } else if (cleared.some((index) => behaviours[index] === 'answers')) {
              expect([status, code]).toEqual([200, undefined]);
              answered++;
            } else {
              // What went wrong where it ran, and not that some other may not run.
              expect(code).not.toBe('model_endpoint_not_cleared');
              expect(status).toBeGreaterThanOrEqual(429);
            }
          }
        },
      ),
      { numRuns: 1000 },
    );
    expect(Math.min(refused, answered, copied)).toBeGreaterThan(150);
  }, 60_000);

  it('that waits for a replica is turned away when the model endpoint loses its clearance', async () => {
    const [only] = upstreams as [Upstream];
    const configuration: Configuration = {
      endpointClass: 'internal',
      clearances: ['restricted', 'restricted', 'restricted'],
      generations: [0],
      maxAttempts: 1,
      maxConcurrency: 1,
    };
    configure(configuration);
    only.behaviour = 'answers';
    only.seen.length = 0;
    only.hold();
    const plain: Call = { header: undefined, metadata: undefined, stream: false };
    const first = send(plain);
    await eventually(() => only.seen.length === 1);
    const restricted = send({ ...plain, header: 'restricted' });
    const internal = send(plain);
    const lanes = gateway.gateway.app.get(ReplicaLanes, { strict: false });
    await eventually(() => lanes.find('m0')!.queued === 2);
    configure({ ...configuration, clearances: ['internal', 'restricted', 'restricted'] });
    expect(await restricted).toEqual({ status: 403, code: 'model_endpoint_not_cleared' });
    only.release!();
    expect([(await first).status, (await internal).status]).toEqual([200, 200]);
    expect(only.seen).toHaveLength(2);
  });

  it.each([
    ['the header', { 'x-catena-data-class': 'secret' }, undefined],
    ['the header, empty', { 'x-catena-data-class': '' }, undefined],
    ['metadata', {}, 'Restricted'],
    ['metadata, a number', {}, 2],
  ])('that names no class in %s is refused, not taken for less', async (_, headers, dataClass) => {
    const response = await fetch(`${gateway.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...(headers as Record<string, string>) },
      body: JSON.stringify({ model: 'e', messages: [], metadata: { dataClass } }),
    });
    expect([response.status, ((await response.json()) as any).error.code]).toEqual([400, 'bad_data_class']);
  });
});

describe('the row', () => {
  let stack: ChatStack;
  beforeAll(async () => (stack = await startChatStack()));
  afterAll(() => stack.close());

  /** Changes the endpoint, and waits until the gateway sees it. */
  async function change(endpoint: string, set: string): Promise<void> {
    const { client } = stack.database;
    const seq = await stack.gateway.metric('catena_snapshot_seq');
    await client.query(`UPDATE endpoint SET ${set} WHERE name = $1`, [endpoint]);
    await client.query(
      `SELECT catena_record_change(workspace_id, 'endpoint', id) FROM endpoint WHERE name = $1`,
      [endpoint],
    );
    await eventually(async () => (await stack.gateway.metric('catena_snapshot_seq')) > seq);
  }
  const idOf = (response: Response) => response.headers.get('x-catena-inference-id');
  const digestOf = (text: string) => ({
    digest: `sha256:${createHash('sha256').update(text).digest('hex')}`,
    sizeBytes: Buffer.byteLength(text),
  });

  it('says what the request carried', async () => {
    await stack.serve('classes');
    const plain = await stack.post(say('x', { model: 'classes' }));
    expect(await stack.row(idOf(plain))).toMatchObject({ data_class: 'internal', status: 'ok' });
    await change('classes', `data_class = 'public'`);
    const lower = await stack.post(say('x', { model: 'classes' }), { 'x-catena-data-class': 'public' });
    expect(await stack.row(idOf(lower))).toMatchObject({ data_class: 'public', status: 'ok' });
    const refused = await stack.post(say('x', { model: 'classes' }), { 'x-catena-data-class': 'restricted' });
    expect(refused.status).toBe(403);
    expect(await stack.row(idOf(refused))).toMatchObject({
      data_class: 'restricted',
      status: 'error',
      error_code: 'model_endpoint_not_cleared',
      attempts: 0,
      replica: null,
    });
  });

  it.each([false, true])(
    'keeps no word of the payloads where the endpoint says so; streamed: %s',
    async (stream) => {
      const name = `hashed-${stream}`;
      await stack.serve(name);
      await change(name, `payloads = 'hash'`);
      const metadata = { ticket: 'PIN quokka' };
      const response = await stack.post(say('my PIN is quokka', { model: name, stream, metadata }));
      const answer = await response.text();
      const row = await stack.row(idOf(response));
      expect(row).toMatchObject({ status: 'ok', output_tokens: expect.any(Number), error_message: null });
      expect(JSON.parse(row.metadata)).toEqual(digestOf(JSON.stringify(metadata)));
      expect(Object.keys(JSON.parse(row.request))).toEqual(['digest', 'sizeBytes']);
      if (!stream) expect(JSON.parse(row.response)).toEqual(digestOf(answer));
      expect(JSON.stringify(row)).not.toContain('quokka');
    },
  );

  it('keeps no word of the payloads of restricted data, and those of other data, where the endpoint says so', async () => {
    const { client } = stack.database;
    await stack.serve('mixed');
    await client.query(`UPDATE model_endpoint SET clearance = 'restricted' WHERE name = 'gpu'`);
    await client.query(
      `SELECT catena_record_change(workspace_id, 'model_endpoint', id) FROM model_endpoint WHERE name = 'gpu'`,
    );
    await change('mixed', `payloads = 'hash-restricted'`);
    const plain = await stack.post(say('my PIN is quokka', { model: 'mixed' }));
    expect((await stack.row(idOf(plain))).request).toContain('quokka');
    const raised = await stack.post(say('my PIN is quokka', { model: 'mixed' }), {
      'x-catena-data-class': 'restricted',
    });
    const row = await stack.row(idOf(raised));
    expect(row).toMatchObject({ status: 'ok', data_class: 'restricted' });
    expect(JSON.stringify(row)).not.toContain('quokka');
  });

  it('keeps no word of an error either, which may repeat the request', async () => {
    const upstream = await Upstream.start();
    upstream.behaviour = 'repeats';
    await stack.rows.setModelEndpoint('repeats', { replicas: [upstream.baseUrl] });
    await stack.serve('hashed-error', { generate: { modelEndpoint: 'repeats', model: 'm' } });
    await change('hashed-error', `payloads = 'hash'`);
    const response = await stack.post(say('my PIN is quokka', { model: 'hashed-error' }));
    upstream.close();
    expect(response.status).toBe(400);
    expect(await response.text()).toContain('quokka');
    const row = await stack.row(idOf(response));
    expect(row).toMatchObject({ status: 'error', error_code: expect.any(String), error_message: null });
    expect(JSON.stringify(row)).not.toContain('quokka');
  });
});
