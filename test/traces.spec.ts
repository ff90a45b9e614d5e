import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readFilter } from '../apps/registry/src/search/search-text.js';
import { searchStatement } from '../apps/registry/src/traces/trace-reader.js';
import { DEFAULT_WORKSPACE_ID } from '../libs/platform/database/default-workspace.js';
import { newSpanId, newTraceId, otlpJson } from './support/otlp.js';
import { startTestRegistry, type TestRegistry } from './support/registry.js';

let registry: TestRegistry;
beforeAll(async () => {
  registry = await startTestRegistry();
});
afterAll(() => registry.close());

async function send(body: object): Promise<void> {
  const response = await fetch(`${registry.url}/v1/traces`, {
    method: 'POST',
    body: JSON.stringify(body),
    headers: { 'content-type': 'application/json', 'x-mlflow-experiment-id': '0' },
  });
  expect(response.status).toBe(200);
}

describe('traces in the native API', () => {
  it('are listed without, and read with their spans', async () => {
    const traceId = newTraceId();
    const spanId = newSpanId();
    await send(
      otlpJson([
        {
          traceId,
          spanId,
          name: 'answer',
          attributes: { 'mlflow.spanInputs': { q: 'why?' }, 'mlflow.traceTag.team': 'x' },
        },
        {
          traceId,
          parentSpanId: spanId,
          name: 'tool',
          startMs: 1_795_305_600_001,
          status: { code: 2, message: 'no' },
        },
      ]),
    );
    const id = `tr-${traceId}`;
    const list = await registry.call(
      'GET',
      `/traces?experimentId=0&filter=${encodeURIComponent("tags.team = 'x'")}`,
    );
    expect(list.body.items).toEqual([
      expect.objectContaining({
        id,
        state: 'OK',
        requestPreview: '{"q": "why?"}',
        experimentNumber: 0,
        assessments: [],
      }),
    ]);
    const { body } = await registry.call('GET', `/traces/${id}`);
    expect(body.spans).toEqual([
      {
        id: spanId,
        parentId: null,
        name: 'answer',
        status: 'OK',
        statusMessage: null,
        startNs: '1795305600000000001',
        endNs: '1795305600005000001',
        attributes: { 'mlflow.spanInputs': { q: 'why?' }, 'mlflow.traceTag.team': 'x' },
        events: [],
      },
      expect.objectContaining({ parentId: spanId, name: 'tool', status: 'ERROR', statusMessage: 'no' }),
    ]);
  });

  it('are assessed, and the assessment is seen by clients of MLflow', async () => {
    const traceId = newTraceId();
    await send(otlpJson([{ traceId }]));
    const path = `/traces/tr-${traceId}/assessments`;
    const given = { kind: 'feedback', name: 'correct', value: { constructor: [1] }, rationale: 'checked' };
    const made = await registry.call('POST', path, given, { 'x-catena-actor': 'ada' });
    expect(made.status).toBe(201);
    expect(made.body).toMatchObject({ ...given, sourceType: 'HUMAN', sourceId: 'ada', valid: true });
    const seen: any = await (await fetch(`${registry.url}/api/3.0/mlflow/traces/tr-${traceId}`)).json();
    expect(seen.trace.trace_info.assessments[0]).toMatchObject({
      assessment_id: made.body.id,
      feedback: { value: given.value },
    });
    const changed = await registry.call('PATCH', `${path}/${made.body.id}`, { value: 'no', rationale: null });
    expect(changed.body).toMatchObject({ value: 'no', rationale: null, name: 'correct' });
    expect((await registry.call('DELETE', `${path}/${made.body.id}`)).status).toBe(204);
    expect((await registry.call('GET', path)).body).toEqual({ items: [] });
    expect((await registry.call('POST', path, { ...given, value: undefined })).status).toBe(400);
  });

  it('are deleted for good', async () => {
    const traceId = newTraceId();
    await send(otlpJson([{ traceId }]));
    expect((await registry.call('DELETE', `/traces/tr-${traceId}`)).status).toBe(204);
    expect((await registry.call('GET', `/traces/tr-${traceId}`)).status).toBe(404);
    expect((await registry.call('DELETE', `/traces/tr-${traceId}`)).status).toBe(404);
  });

  it.each([
    ['no experiment', '/traces', 400],
    ['an unknown experiment', '/traces?experimentId=4711', 404],
    ['a bad filter', '/traces?experimentId=0&filter=x', 400],
    ['a bad cursor', '/traces?experimentId=0&cursor=x', 400],
  ])('are refused to who asks with %s', async (_, path, status) => {
    expect((await registry.call('GET', path)).status).toBe(status);
  });
});

describe('evaluation datasets and scorers in the native API', () => {
  it('a dataset is made, filled, read, labelled and deleted', async () => {
    const made = await registry.call('POST', '/evaluation-datasets', {
      name: 'cases',
      experimentNumbers: [0],
    });
    expect(made.body).toMatchObject({ name: 'cases', experimentNumbers: [0], recordCount: 0, schema: null });
    const path = `/evaluation-datasets/${made.body.id}`;
    const records = [{ inputs: { q: 'a' }, expectations: { e: 1 } }, { inputs: { q: 'b' } }];
    expect((await registry.call('POST', `${path}/records`, { records })).body).toEqual({
      inserted: 2,
      updated: 0,
    });
    const page = await registry.call('GET', `${path}/records?limit=1`);
    expect(page.body.items).toEqual([
      expect.objectContaining({ inputs: { q: 'a' }, expectations: { e: 1 } }),
    ]);
    const rest = await registry.call('GET', `${path}/records?limit=1&cursor=${page.body.nextCursor}`);
    expect(rest.body).toMatchObject({ items: [{ inputs: { q: 'b' } }], nextCursor: null });
    expect((await registry.call('PATCH', path, { tags: { team: 'x' } })).body).toMatchObject({
      tags: { team: 'x' },
      recordCount: 2,
    });
    expect((await registry.call('GET', '/evaluation-datasets?experimentId=0')).body.items).toHaveLength(1);
    expect((await registry.call('POST', `${path}/records`, { records: [5] })).status).toBe(400);
    expect((await registry.call('DELETE', path)).status).toBe(204);
    expect((await registry.call('GET', path)).status).toBe(404);
  });

  it('a scorer is registered, listed, and has versions', async () => {
    const given = { experimentId: '0', name: 'is_short', definition: '{"a": 1.0}' };
    for (const version of [1, 2])
      expect((await registry.call('POST', '/scorers', given)).body).toMatchObject({
        version,
        definition: '{"a": 1.0}',
      });
    expect((await registry.call('GET', '/scorers?experimentId=0')).body.items).toHaveLength(1);
    expect((await registry.call('GET', '/scorers/is_short/versions?experimentId=0')).body.items).toHaveLength(
      2,
    );
    expect((await registry.call('POST', '/scorers', { ...given, definition: '{' })).status).toBe(400);
  });
});

describe('at 40 000 traces, a search', () => {
  beforeAll(async () => {
    const { client } = registry.database;
    await client.query(
      `INSERT INTO experiment (id, workspace_id, number, name, tags, created_at, created_by, updated_at)
       SELECT gen_random_uuid(), $1, 1000 + g, 'volume ' || g, '{}', now(), 'x', now() FROM generate_series(1, 400) g`,
      [DEFAULT_WORKSPACE_ID],
    );
    await client.query(
      `INSERT INTO trace (id, workspace_id, trace_id, experiment, time_ms, duration_ms, state, client_request_id, metadata, tags, finalized, created_at)
       SELECT gen_random_uuid(), $1, 'tr-v' || g, e.serial, 1700000000000 + g, g % 500, CASE WHEN g % 50 = 0 THEN 'ERROR' ELSE 'OK' END,
              'c' || g, jsonb_build_object('mlflow.trace.session', 's' || g / 10, 'mlflow.sourceRun', md5((g / 100)::text)),
              jsonb_build_object('mlflow.traceName', 'n' || g % 50, 'team', 't' || g % 1000), true, now()
         FROM generate_series(1, 40000) g JOIN experiment e ON e.number = 1001 + g % 20 AND e.workspace_id = $1`,
      [DEFAULT_WORKSPACE_ID],
    );
    await client.query(
      `INSERT INTO span (trace, span_id, experiment, name, type, status, start_ns, content)
       SELECT serial, '00000000000000' || k, experiment, 'span' || k, CASE k WHEN 10 THEN 'CHAIN' ELSE 'TOOL' END,
              CASE WHEN serial % 50 = 0 THEN 'ERROR' ELSE 'OK' END, 1, '{"attributes":[]}'
         FROM trace, generate_series(10, 11) k WHERE trace_id LIKE 'tr-v%'`,
    );
    await client.query(
      `INSERT INTO assessment (trace, assessment_id, experiment, kind, name, value, source_type, metadata, valid, created_ms, updated_ms)
       SELECT serial, 'a-1', experiment, 'feedback', 'q' || serial % 10, 'true', 'CODE', '{}', true, 1, 1
         FROM trace WHERE trace_id LIKE 'tr-v%'`,
    );
    await client.query(
      `INSERT INTO trace_prompt SELECT serial, 'p' || serial % 100, 1 FROM trace WHERE trace_id LIKE 'tr-v%'`,
    );
    await client.query('ANALYZE');
  }, 60_000);

  it.each([
    [''],
    ["status = 'ERROR'"],
    ["status = 'IN_PROGRESS'"],
    ["tags.team = 't5'"],
    ["tags.team LIKE 't5%'"],
    ['tags.team IS NULL'],
    ["metadata.`mlflow.trace.session` = 's77'"],
    ["name = 'n5'"],
    ["run_id = 'e4da3b7fbbce2345d7772b0674a318d5'"],
    ["span.name = 'span10'"],
    ["span.type = 'TOOL' AND span.status = 'ERROR'"],
    ["span.attributes.model = 'm'"],
    ["trace.text LIKE '%zzz%'"],
    ["feedback.q1 = 'true'"],
    ['feedback.q1 IS NULL'],
    ["prompt = 'p5/1'"],
    ["trace_id = 'tr-v77'"],
    ["client_request_id = 'c77'"],
    ['execution_time_ms > 490'],
    ["status = 'ERROR' OR tags.team = 't7'"],
  ])('by "%s" scans no table of volume', async (filter) => {
    for (const experiments of [[1005], [1001, 1002, 1003]]) {
      const { text, values } = searchStatement(
        { workspaceId: DEFAULT_WORKSPACE_ID, actor: 'x' },
        { experiments, filter: readFilter('trace', filter) ?? undefined, limit: 100 },
      );
      const { rows } = await registry.database.client.query(`EXPLAIN ${text}`, values);
      const plan = rows.map((row) => row['QUERY PLAN']).join('\n');
      const scanned = [...plan.matchAll(/Seq Scan on (trace|span|assessment|trace_prompt)\b/g)].map(
        (found) => found[1],
      );
      expect({ scanned, plan: scanned.length > 0 ? plan : '' }).toEqual({ scanned: [], plan: '' });
    }
  });

  it('for the next page goes on from its place in the index', async () => {
    const ask = (cursor?: string): { text: string; values: unknown[] } =>
      searchStatement(
        { workspaceId: DEFAULT_WORKSPACE_ID, actor: 'x' },
        { experiments: [1005], limit: 100, cursor },
      );
    const cursor = Buffer.from(JSON.stringify([1_700_000_030_000, 30_000])).toString('base64url');
    const { rows } = await registry.database.client.query(`EXPLAIN ${ask(cursor).text}`, ask(cursor).values);
    const plan = rows.map((row) => row['QUERY PLAN']).join('\n');
    expect(plan).toMatch(/Index Cond: .*ROW\(t?\.?time_ms, t?\.?serial\) </);
    expect(plan).toContain('trace_time_idx');
  });
});
