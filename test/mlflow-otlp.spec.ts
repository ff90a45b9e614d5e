import { randomUUID } from 'node:crypto';
import { deflateSync, gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { newSpanId, newTraceId, otlpJson, otlpProtobuf, type SpanGiven } from './support/otlp.js';
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

describe('spans by OpenTelemetry', () => {
  const traceOf = async (traceId: string): Promise<any> =>
    (await v3('GET', `/traces/get?trace_id=tr-${traceId}`)).body.trace;

  it.each([
    ['protobuf', (spans: SpanGiven[]) => send(otlpProtobuf(spans))],
    [
      'protobuf, gzip',
      (spans: SpanGiven[]) => send(gzipSync(otlpProtobuf(spans)), { 'content-encoding': 'gzip' }),
    ],
    [
      'protobuf, deflate',
      (spans: SpanGiven[]) => send(deflateSync(otlpProtobuf(spans)), { 'content-encoding': 'deflate' }),
    ],
    ['JSON', (spans: SpanGiven[]) => send(otlpJson(spans))],
  ])('come in %s and go out digit for digit', async (_, sendSpans) => {
    const traceId = newTraceId();
    const attributes = {
      big: 9_007_199_254_740_993n,
      f: 0.1,
      list: [1, 'ü😀', true],
      map: { a: { b: -1n } },
    };
    const { status } = await sendSpans([{ traceId, name: 'root', attributes }]);
    expect(status).toBe(200);
    const [span] = (await traceOf(traceId)).spans;
    expect(Buffer.from(span.trace_id, 'base64').toString('hex')).toBe(traceId);
    expect(span.start_time_unix_nano).toBe('1795305600000000001');
    expect(span.attributes).toEqual([
      { key: 'big', value: { int_value: '9007199254740993' } },
      { key: 'f', value: { double_value: 0.1 } },
      {
        key: 'list',
        value: {
          array_value: { values: [{ int_value: '1' }, { string_value: 'ü😀' }, { bool_value: true }] },
        },
      },
      {
        key: 'map',
        value: {
          kvlist_value: {
            values: [
              { key: 'a', value: { kvlist_value: { values: [{ key: 'b', value: { int_value: '-1' } }] } } },
            ],
          },
        },
      },
    ]);
  });

  it('make the trace: its time, duration, state, previews, session, user, name and tags', async () => {
    const traceId = newTraceId();
    const root = newSpanId();
    await send(
      otlpJson(
        [
          { traceId, parentSpanId: root, name: 'tool', startMs: 1_795_305_600_000, endMs: 1_795_305_601_000 },
          {
            traceId,
            spanId: root,
            startMs: 1_795_305_600_100,
            endMs: 1_795_305_600_200,
            status: { code: 2, message: 'no' },
            attributes: {
              'session.id': 'c-7',
              'user.id': 'ada',
              'mlflow.spanInputs': { question: 'why?' },
              'mlflow.traceTag.mlflow.traceName': 'answering',
            },
          },
        ],
        { 'service.name': 'shop', 'telemetry.sdk.name': 'otel', 'mlflow.trace.spansLocation': 'forged' },
      ),
    );
    expect((await traceOf(traceId)).trace_info).toEqual({
      trace_id: `tr-${traceId}`,
      trace_location: { type: 'MLFLOW_EXPERIMENT', mlflow_experiment: { experiment_id: experiment } },
      request_time: '2026-11-22T00:00:00Z',
      execution_duration: '1s',
      state: 'ERROR',
      request_preview: '{"question": "why?"}',
      trace_metadata: { 'mlflow.trace.session': 'c-7', 'mlflow.trace.user': 'ada' },
      tags: {
        'service.name': 'shop',
        'mlflow.traceName': 'answering',
        'mlflow.trace.spansLocation': 'TRACKING_STORE',
        'mlflow.artifactLocation': `mlflow-artifacts:/${experiment}/traces/tr-${traceId}/artifacts`,
      },
    });
  });

  it('are counted once, whatever batches they come in and however often', async () => {
    const traceId = newTraceId();
    const root = newSpanId();
    const leaf = {
      traceId,
      spanId: newSpanId(),
      parentSpanId: root,
      attributes: {
        'gen_ai.usage.input_tokens': 10,
        'gen_ai.usage.output_tokens': 5,
        'gen_ai.operation.name': 'chat',
      },
    };
    await send(otlpJson([leaf]));
    await send(otlpJson([{ ...leaf, spanId: newSpanId() }]));
    await send(otlpJson([leaf]));
    const usage = async (): Promise<unknown> =>
      JSON.parse((await traceOf(traceId)).trace_info.trace_metadata['mlflow.trace.tokenUsage']);
    expect(await usage()).toEqual({ input_tokens: 20, output_tokens: 10, total_tokens: 30 });
    // A root that repeats what its children used.
    await send(
      otlpJson([
        {
          traceId,
          spanId: root,
          attributes: { 'mlflow.chat.tokenUsage': { input_tokens: 20, output_tokens: 10, total_tokens: 30 } },
        },
      ]),
    );
    expect(await usage()).toEqual({ input_tokens: 20, output_tokens: 10, total_tokens: 30 });
    expect((await traceOf(traceId)).spans).toHaveLength(3);
    expect(await search("span.type = 'CHAT_MODEL'")).toContain(`tr-${traceId}`);
  });

  it('are linked to the run that a header names', async () => {
    const run = await calls.run(experiment);
    const traceId = newTraceId();
    await send(otlpJson([{ traceId }]), { 'x-mlflow-run-id': run });
    expect(await search(`run_id = '${run}'`)).toEqual([`tr-${traceId}`]);
    expect((await send(otlpJson([{ traceId }]), { 'x-mlflow-run-id': randomUUID() })).status).toBe(200);
  });

  it('answer in the encoding they came in', async () => {
    const { headers, body } = await send(otlpProtobuf([{}]));
    expect([headers.get('content-type'), body]).toEqual(['application/x-protobuf', '']);
  });

  const deep = (levels: number): object => {
    let value: object = { stringValue: 'x' };
    for (let level = 0; level < levels; level++) value = { arrayValue: { values: [value] } };
    return value;
  };
  const one = (fields: object): object => ({
    resourceSpans: [
      { scopeSpans: [{ spans: [{ traceId: newTraceId(), spanId: newSpanId(), name: 'x', ...fields }] }] },
    ],
  });

  it.each([
    ['no body', () => send(''), 400],
    ['no JSON', () => send('{'), 400],
    ['no protobuf', () => send(Buffer.from([0x0a, 0x05, 0x61])), 400],
    ['random bytes', () => send(Buffer.from('ffffffffffffffffffffffff', 'hex')), 400],
    ['an empty request', () => send({}), 400],
    ['a list', () => send([] as never), 400],
    ['another type', () => send(otlpJson([{}]), { 'content-type': 'text/plain' }), 400],
    ['no gzip where it says so', () => send('xx', { 'content-encoding': 'gzip' }), 400],
    ['no experiment', () => send(otlpJson([{}]), {}, null), 422],
    ['an experiment of letters', () => send(otlpJson([{}]), {}, 'abc'), 400],
    ['an unknown experiment', () => send(otlpJson([{}]), {}, '4711'), 404],
    ['an impossible experiment', () => send(otlpJson([{}]), {}, '99999999999'), 404],
    ['an id that is not hexadecimal', () => send(otlpJson([{ traceId: 'xyz' }])), 400],
    ['a short id', () => send(otlpJson([{ traceId: 'abcd' }])), 422],
    ['an id of zeros', () => send(otlpJson([{ spanId: '0000000000000000' }])), 422],
    ['a NUL in the name', () => send(otlpJson([{ name: 'a\0b' }])), 422],
    ['a NUL in an attribute', () => send(otlpProtobuf([{ attributes: { k: { x: 'a\0b' } } }])), 422],
    ['a lone surrogate', () => send(otlpJson([{ attributes: { k: '\ud800' } }])), 422],
    ['a time in words', () => send(one({ startTimeUnixNano: 'now' })), 400],
    ['a negative time', () => send(one({ startTimeUnixNano: -5 })), 400],
    ['a time beyond 2262', () => send(one({ startTimeUnixNano: '18446744073709551615' })), 422],
    ['a name that is an object', () => send(one({ name: {} })), 400],
    [
      'an integer beyond 64 bits',
      () => send(one({ attributes: [{ key: 'k', value: { intValue: '9223372036854775808' } }] })),
      400,
    ],
    ['attributes 600 levels deep', () => send(one({ attributes: [{ key: 'k', value: deep(600) }] })), 400],
    ['a span of 11 MB', () => send(otlpJson([{ attributes: { k: 'x'.repeat(11_000_000) } }])), 413],
    ['a bomb', () => send(gzipSync(Buffer.alloc(40_000_000, 32)), { 'content-encoding': 'gzip' }), 413],
  ])('are refused: %s', async (_, request, status) => {
    const answer = await request();
    expect([answer.status, typeof answer.body.error_code]).toEqual([status, 'string']);
  });

  it('are stored all or none', async () => {
    const traceId = newTraceId();
    const { status } = await send(otlpJson([{ traceId }, { name: 'a\0b' }]));
    expect(status).toBe(422);
    expect((await v3('GET', `/traces/tr-${traceId}`)).status).toBe(404);
  });

  it('of one trace, from 20 senders at once, do not deadlock and are all there', async () => {
    const ids = [newTraceId(), newTraceId(), newTraceId()];
    const root = newSpanId();
    const batch = (): SpanGiven[] =>
      ids.flatMap((traceId) => [
        { traceId, parentSpanId: root, attributes: { 'gen_ai.usage.input_tokens': 1 } },
      ]);
    const batches = Array.from({ length: 20 }, (_, at) => (at % 2 === 0 ? batch() : batch().toReversed()));
    const answers = await Promise.all(batches.map((spans) => send(otlpJson(spans))));
    expect(new Set(answers.map((answer) => answer.status))).toEqual(new Set([200]));
    for (const id of ids) {
      const trace = await traceOf(id);
      expect(trace.spans).toHaveLength(20);
      expect(JSON.parse(trace.trace_info.trace_metadata['mlflow.trace.tokenUsage'])).toEqual({
        input_tokens: 20,
      });
    }
  });
});
