import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createTestDatabase } from './support/database.js';
import { mlflowCalls, type MlflowCalls } from './support/mlflow.js';
import { startTestRegistry, type TestRegistry } from './support/registry.js';
import { TcpProxy } from './support/tcp-proxy.js';

/**
 * What MLflow 3.17.2's own server answers to bad requests, recorded from it over SQLite with one worker. Left out is
 * what it answers with a page of HTML, with SQL in the message, or not at all because it takes half of the request.
 * `$run$` and the like stand for names made by the test, `$repeat:x:251` for 251 x.
 */
interface Refusal {
  readonly name: string;
  readonly request: string;
  readonly body?: unknown;
  readonly raw?: string;
  readonly headers?: Record<string, string>;
  readonly answer: readonly [status: number, code: string, message: string];
}
const REFUSALS = JSON.parse(
  readFileSync(new URL('mlflow-refusals.json', import.meta.url), 'utf8'),
) as readonly Refusal[];

const JSON_TYPE = { 'content-type': 'application/json' };

describe("MLflow's protocol refuses", () => {
  let registry: TestRegistry;
  let mlflow: MlflowCalls;
  const names = new Map<string, string>();
  beforeAll(async () => {
    registry = await startTestRegistry();
    mlflow = mlflowCalls(registry);
    const exp = await mlflow.experiment('refusals');
    const dexp = await mlflow.experiment();
    await mlflow.post('/experiments/delete', { experiment_id: dexp });
    const [run, drun, run2] = [await mlflow.run(exp), await mlflow.run(exp), await mlflow.run(exp)];
    await mlflow.post('/runs/delete', { run_id: drun });
    for (const key of ['p', 'q']) await mlflow.post('/runs/log-parameter', { run_id: run, key, value: '1' });
    for (const [name, value] of Object.entries({ exp, dexp, run, drun, run2, name: 'refusals' }))
      names.set(name, value);
  });
  afterAll(() => registry.close());

  const fill = (text: string): string =>
    text
      .replace(/\$repeat:(.):(\d+)\$?/g, (_, char: string, count: string) => char.repeat(Number(count)))
      .replace(/\$(\w+)\$/g, (whole, name: string) => names.get(name) ?? whole);

  it.each(REFUSALS.map((refusal) => [refusal.name, refusal] as const))(
    '%s, as MLflow does',
    async (_, refusal) => {
      const [method, path] = refusal.request.split(' ') as [string, string];
      const body = refusal.raw ?? (refusal.body === undefined ? undefined : JSON.stringify(refusal.body));
      const headers = { ...(body === undefined ? {} : JSON_TYPE), ...refusal.headers };
      const answer = await mlflow.raw(method, fill(path), body && fill(body), headers);
      const [status, error_code, message] = refusal.answer;
      expect([answer.status, answer.body]).toEqual([status, { error_code, message: fill(message) }]);
    },
  );

  const run = () => names.get('run')!;
  const metric = { key: 'm', value: 1, timestamp: 1 };

  it.each([
    [
      '1 001 metrics',
      { metrics: Array.from({ length: 1_001 }, (_, step) => ({ ...metric, step })) },
      1_000,
      'metrics',
      1_001,
    ],
    [
      '101 params',
      { params: Array.from({ length: 101 }, (_, i) => ({ key: `p${i}`, value: '' })) },
      100,
      'params',
      101,
    ],
    [
      '101 tags',
      { tags: Array.from({ length: 101 }, (_, i) => ({ key: `t${i}`, value: '' })) },
      100,
      'tags',
      101,
    ],
    [
      '1 000 metrics and a param',
      {
        metrics: Array.from({ length: 1_000 }, (_, step) => ({ ...metric, step })),
        params: [{ key: 'x', value: '' }],
      },
      1_000,
      'metrics, params, and tags',
      1_001,
    ],
  ])('a batch of %s', async (_, batch, limit, what, count) => {
    const answer = await mlflow.post('/runs/log-batch', { run_id: run(), ...batch });
    expect([answer.status, answer.body.message]).toEqual([
      400,
      `A batch logging request can contain at most ${limit} ${what}. Got ${count} ${what}. Please split up ${what} across multiple requests and try again.`,
    ]);
  });

  // Here MLflow answers 500, or takes half of the request and says nothing.
  it.each<[string, string, string | object, RegExp]>([
    [
      'a step that is no integer',
      '/runs/log-metric',
      { ...metric, step: 1.5 },
      /^Invalid value 1.5 for parameter 'step'/,
    ],
    [
      'a step beyond 64 bits',
      '/runs/log-metric',
      `{"run_id":"$run$","key":"m","value":1,"timestamp":1,"step":9223372036854775808}`,
      /parameter 'step'/,
    ],
    [
      'a value that is a list',
      '/runs/log-metric',
      { ...metric, value: [] },
      /^Invalid value \[\] for parameter 'value'/,
    ],
    [
      'a value beyond a double',
      '/runs/log-metric',
      `{"run_id":"$run$","key":"m","value":1e400,"timestamp":1}`,
      /^Invalid value "Infinity"/,
    ],
    [
      'a param that is a number',
      '/runs/log-batch',
      { params: [{ key: 'i', value: 3 }] },
      /'params\[0\].value' supplied/,
    ],
    ['metrics that are no objects', '/runs/log-batch', { metrics: ['x'] }, /'metrics\[0\]' supplied/],
    ['NUL in a tag', '/runs/set-tag', { key: 'a', value: 'b\0' }, /'value' contains a NUL byte/],
    [
      'a lone surrogate in a tag',
      '/runs/set-tag',
      String.raw`{"run_id":"$run$","key":"a","value":"\ud800"}`,
      /lone surrogate/,
    ],
    [
      'a status that is none',
      '/runs/update',
      { status: 'DONE' },
      /^Invalid value "DONE" for parameter 'status'/,
    ],
    ['an end in the far future', '/runs/update', { end_time: 999_999_999_999_999 }, /between 1970 and 9999/],
    [
      'a logged model that does not exist',
      '/runs/log-metric',
      { ...metric, model_id: 'm-1' },
      /^Logged model with ID 'm-1' not found/,
    ],
    ['a body that is not JSON', '/runs/set-tag', '{', /^The body is not valid JSON/],
    ['a body that is a list', '/runs/set-tag', '[]', /one JSON object/],
    ['both spellings of a field', '/runs/set-tag', { key: 'a', runId: 'x' }, /both 'run_id' and 'runId'/],
    [
      'a filter that cannot be read',
      '/runs/search',
      { filter: 'metrics.x >' },
      /^Invalid filter: at column 12, expected/,
    ],
    [
      'SQL in a filter',
      '/runs/search',
      { filter: "tags.a = 'x'; DROP TABLE run" },
      /^Invalid filter: at column 13/,
    ],
    [
      'a page token of its own making',
      '/runs/search',
      { page_token: 'eyJvZmZzZXQiOiAxfQ==' },
      /^Invalid page token/,
    ],
  ])('%s, in words of its own', async (_, path, body, message) => {
    const text = typeof body === 'string' ? fill(body) : JSON.stringify({ run_id: run(), ...body });
    const answer = await mlflow.raw('POST', `/api/2.0/mlflow${path}`, text, JSON_TYPE);
    expect(answer.body.message).toMatch(message);
    expect([400, 404]).toContain(answer.status);
  });

  it.each([
    '/model-versions/get-artifact?name=%00&version=1&path=a',
    '/ajax-api/2.0/mlflow/get-trace-artifact?request_id=%00',
  ])('NUL in the query of %s', async (path) => {
    const { status, body } = await mlflow.raw('GET', path);
    expect([status, body.message]).toEqual([400, expect.stringMatching(/NUL byte/)]);
  });

  it('what has no route, naming the methods that a path has', async () => {
    for (const path of [
      '/api/2.0/mlflow/nope',
      '/ajax-api/3.0/mlflow',
      '/api/2.0/mlflow-nope',
      '/api/2.0/mlflow/runs/create/',
    ]) {
      const answer = await mlflow.raw('POST', path, '{}', JSON_TYPE);
      expect([answer.status, answer.body.error_code]).toEqual([404, 'ENDPOINT_NOT_FOUND']);
    }
    const answer = await mlflow.raw('DELETE', '/api/2.0/mlflow/runs/create');
    expect([answer.status, answer.headers.get('allow'), answer.body.error_code]).toEqual([
      405,
      'POST',
      'ENDPOINT_NOT_FOUND',
    ]);
  });

  it('a body that is too large, so that a client that reads only after it has sent all of it learns why', async () => {
    const { hostname, port } = new URL(registry.url);
    const huge = JSON.stringify({ run_id: run(), key: 'k', value: 'x'.repeat(12_000_000) });
    const small = JSON.stringify({ run_id: run(), key: 'k', value: 'v' });
    const head = (body: string) =>
      `POST /api/2.0/mlflow/runs/set-tag HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n`;
    const socket = connect(Number(port), hostname);
    socket.pause();
    for (const body of [huge, small])
      await new Promise<void>((resolve, reject) => {
        socket.once('error', reject);
        socket.write(head(body) + body, (error) => (error ? reject(error) : resolve()));
      });
    let text = '';
    for await (const chunk of socket) {
      text += String(chunk);
      if (text.endsWith('{}')) break;
    }
    expect(text.match(/HTTP\/1.1 \d+/g)).toEqual(['HTTP/1.1 413', 'HTTP/1.1 200']);
    expect(text).toContain('"error_code":"INVALID_PARAMETER_VALUE"');
  });

  it('what a page of another origin can send without asking: a form, or a POST that says all in its query', async () => {
    const tag = { run_id: run(), key: 'planted', value: 'x' };
    const path = '/api/2.0/mlflow/runs/set-tag';
    const types = ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x'];
    for (const type of types) {
      const answer = await mlflow.raw('POST', path, JSON.stringify(tag), { 'content-type': type });
      expect([answer.status, answer.body.message]).toEqual([
        400,
        "Bad Request. Content-Type must be one of ['application/json'].",
      ]);
    }
    const bare = await mlflow.raw('POST', `${path}?${new URLSearchParams(tag)}`);
    expect(bare.body.message).toMatch(/^Missing value for required parameter 'run_id'/);
    const { data } = (await mlflow.get('/runs/get', { run_id: run() })).body.run;
    expect(data.tags.map(({ key }: any) => key)).not.toContain('planted');
  });

  it('a compressed body that is too large when it is not, and reads others', async () => {
    const send = (body: object, encoding: string) =>
      mlflow.raw('POST', '/api/2.0/mlflow/runs/set-tag', gzipSync(JSON.stringify(body)), {
        ...JSON_TYPE,
        'content-encoding': encoding,
      });
    const tag = { run_id: run(), key: 'k', value: 'v' };
    expect((await send(tag, 'gzip')).status).toBe(200);
    expect((await send({ ...tag, value: 'x'.repeat(20_000_000) }, 'gzip')).status).toBe(413);
    expect((await send(tag, 'deflate')).body.error_code).toBe('BAD_REQUEST');
    expect((await send(tag, 'br')).status).toBe(415);
  });

  it('what breaks inside, without telling what', async () => {
    const { client } = registry.database;
    await client.query('ALTER TABLE run RENAME TO run_away');
    const broken = await mlflow.get('/runs/get', { run_id: run() });
    await client.query('ALTER TABLE run_away RENAME TO run');
    expect([broken.status, broken.body.error_code]).toEqual([500, 'INTERNAL_ERROR']);
    expect(broken.body.message).not.toMatch(/run_away|relation|SELECT/);
  });
});

it('while the database is away, clients of MLflow are told to try again', async () => {
  const database = await createTestDatabase();
  const { proxy, url } = await TcpProxy.before(database.url);
  const registry = await startTestRegistry({ DATABASE_URL: url });
  const mlflow = mlflowCalls(registry);
  const run_id = await mlflow.run('0');
  proxy.cut();
  for (const answer of [
    await mlflow.post('/runs/log-metric', { run_id, key: 'm', value: 1, timestamp: 1 }),
    await mlflow.get('/runs/get', { run_id }),
    await mlflow.post('/runs/log-parameter', { run_id, key: 'p', value: '1' }),
  ])
    expect([answer.status, answer.body.error_code]).toEqual([503, 'TEMPORARILY_UNAVAILABLE']);
  proxy.mend();
  const again = await mlflow.post('/runs/log-metric', { run_id, key: 'm', value: 1, timestamp: 1 });
  expect([again.status, again.body]).toEqual([200, {}]);
  await registry.close();
  await proxy.close();
  await database.drop();
});
