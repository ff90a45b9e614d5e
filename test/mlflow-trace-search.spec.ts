import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { newTraceId, otlpJson } from './support/otlp.js';
import { startTestRegistry, type TestRegistry } from './support/registry.js';
import { traceCalls, type TraceCalls } from './support/traces.js';

let registry: TestRegistry;
let calls: TraceCalls;
let experiment: string;
beforeAll(async () => {
  registry = await startTestRegistry();
  calls = traceCalls(registry, () => experiment);
  experiment = await calls.experiment();
});
afterAll(() => registry.close());

const v3: TraceCalls['v3'] = (...given) => calls.v3(...given);
const send: TraceCalls['send'] = (...given) => calls.send(...given);
const search: TraceCalls['search'] = (...given) => calls.search(...given);

describe('searching traces', () => {
  let to: string;
  let ids: string[];
  beforeAll(async () => {
    to = await calls.experiment();
    ids = [];
    for (let at = 0; at < 12; at++) {
      const traceId = newTraceId();
      const attributes = {
        'mlflow.traceTag.mlflow.traceName': `n${at % 3}`,
        'mlflow.traceTag.team': at % 2 ? 'b' : 'a',
        ...(at % 4 === 0 && { 'mlflow.traceTag.rare': `r${at}` }),
        model: `m${at}`,
        'mlflow.spanType': at === 5 ? 'TOOL' : 'CHAIN',
      };
      const status = at === 7 ? { code: 2 } : { code: 1 };
      await send(
        otlpJson([
          {
            traceId,
            startMs: 1_795_305_600_000 + at * 1000,
            endMs: 1_795_305_600_000 + at * 1000 + at,
            attributes,
            status,
            name: `span ${at}`,
          },
        ]),
        {},
        to,
      );
      ids.unshift(`tr-${traceId}`);
    }
  });
  const at = (...numbers: number[]): string[] => numbers.map((number) => ids[11 - number]!);

  it.each([
    ['', () => ids],
    ["status = 'ERROR'", () => at(7)],
    ["tags.team = 'b' AND name = 'n0'", () => at(9, 3)],
    ["tags.team != 'b' AND (name = 'n0' OR name = 'n1')", () => at(10, 6, 4, 0)],
    ['tag.nothing IS NULL AND timestamp < 1795305601000', () => at(0)],
    ['metadata.x IS NOT NULL', () => []],
    ["name LIKE '%2' AND execution_time_ms > 5", () => at(11, 8)],
    ["name RLIKE '^n[12]$' AND end_time_ms <= 1795305602002", () => at(2, 1)],
    ["span.type = 'TOOL'", () => at(5)],
    ["span.name = 'span 5' AND span.type = 'TOOL'", () => at(5)],
    ["span.name = 'span 4' AND span.type = 'TOOL'", () => []],
    ["span.attributes.model = 'm3'", () => at(3)],
    ["span.attributes.model IN ('m3', 'm4')", () => at(4, 3)],
    ['span.content LIKE \'%"m11"%\'', () => at(11)],
    ["trace.text ILIKE '%SPAN 10%'", () => at(10)],
    ["trace.text LIKE '%string%value%'", () => []],
    ["name LIKE 'n\\'", () => []],
    ["run_id = 'no hex'", () => []],
    ["prompt = 'greeting/1'", () => []],
    ["feedback.x = 'yes'", () => []],
    ["feedback.x IS NULL AND name = 'n2' AND tags.team = 'a'", () => at(8, 2)],
    ["name = 'n0''); DROP TABLE trace; --'", () => []],
  ])('by %s', async (filter, expected) => {
    expect(await search(filter, to)).toEqual(expected());
  });

  it.each([
    ['timestamp_ms ASC'],
    ['execution_time DESC'],
    ['name ASC'],
    ['tags.team DESC'],
    ['tags.missing'],
    ['tags.rare'],
    ['tags.rare DESC', 'name'],
    ['status', 'end_time DESC'],
  ])('in pages, ordered by %s', async (...order_by) => {
    const locations = [{ mlflow_experiment: { experiment_id: to } }];
    const seen: string[] = [];
    let page_token: string | undefined;
    do {
      const { body } = await v3('POST', '/traces/search', {
        locations,
        max_results: 2,
        order_by,
        page_token,
      });
      seen.push(...body.traces.map((trace: any) => trace.trace_id));
      page_token = body.next_page_token;
    } while (page_token !== undefined);
    expect(seen.toSorted()).toEqual(ids.toSorted());
    expect(seen).toEqual(await search('', to, { order_by }));
  });

  it.each([
    ['a bad filter', { filter: 'name === 1' }, /column \d+/],
    ['a bad regular expression', { filter: "name RLIKE '('" }, /regular expression/],
    ['a bad order', { order_by: ['nothing.at.all'] }, /order_by/],
    ['a bad token', { page_token: 'x' }, /cursor/],
    ['a token of another order', { page_token: Buffer.from('["a",1]').toString('base64url') }, /cursor/],
    ['too large a page', { max_results: 501 }, /max_results/],
    ['a prompt without its version', { filter: "prompt = 'x'" }, /prompt/],
    ['a NUL', { filter: "name = '\0'" }, /./],
  ])('is refused with %s', async (_, fields, message) => {
    const locations = [{ mlflow_experiment: { experiment_id: to } }];
    const { status, body } = await v3('POST', '/traces/search', { locations, ...fields });
    expect([status, body.error_code]).toEqual([400, 'INVALID_PARAMETER_VALUE']);
    expect(body.message).toMatch(message);
  });

  it('figures: counts by status, latency by name, intervals of time', async () => {
    const ask = async (fields: object): Promise<any> =>
      (await v3('POST', '/traces/metrics', { experiment_ids: [to], view_type: 'TRACES', ...fields })).body;
    const counts = await ask({
      metric_name: 'trace_count',
      aggregations: [{ aggregation_type: 'COUNT' }],
      dimensions: ['trace_status'],
    });
    expect(counts.data_points).toEqual([
      { metric_name: 'trace_count', dimensions: { trace_status: 'ERROR' }, values: { COUNT: 1 } },
      { metric_name: 'trace_count', dimensions: { trace_status: 'OK' }, values: { COUNT: 11 } },
    ]);
    const latency = await ask({
      metric_name: 'latency',
      aggregations: [{ aggregation_type: 'MAX' }, { aggregation_type: 'PERCENTILE', percentile_value: 50 }],
      filters: ["trace.tag.team = 'b'"],
    });
    expect(latency.data_points[0].values).toEqual({ MAX: 11, 'P50.0': 6 });
    const times = await ask({
      metric_name: 'trace_count',
      aggregations: [{ aggregation_type: 1 }],
      time_interval_seconds: 6,
      start_time_ms: 1_795_305_600_000,
      end_time_ms: 1_795_305_611_000,
    });
    expect(times.data_points.map((point: any) => [point.dimensions.time_bucket, point.values.COUNT])).toEqual(
      [
        ['2026-11-22T00:00:00+00:00', 6],
        ['2026-11-22T00:00:06+00:00', 6],
      ],
    );
    expect(
      (await ask({ metric_name: 'latency', aggregations: [{ aggregation_type: 'COUNT' }] })).error_code,
    ).toBe('INVALID_PARAMETER_VALUE');
    expect(
      (await ask({ metric_name: 'constructor', aggregations: [{ aggregation_type: 'COUNT' }] })).error_code,
    ).toBe('INVALID_PARAMETER_VALUE');
  });

  it('how two filters go together', async () => {
    const { body } = await v3('POST', '/traces/calculate-filter-correlation', {
      experiment_ids: [to],
      filter_string1: "tags.team = 'a'",
      filter_string2: "tags.team = 'b'",
    });
    expect(body).toMatchObject({
      npmi: -1,
      filter1_count: 6,
      filter2_count: 6,
      joint_count: 0,
      total_count: 12,
    });
  });
});
