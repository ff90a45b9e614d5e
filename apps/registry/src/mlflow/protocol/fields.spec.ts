import { describe, expect, it } from 'vitest';
import { choice, double, flag, integer, json, list, long, map, message, readerOf, text } from './fields.js';

const SEE = 'See the API docs for more information about request parameters.';

const read = readerOf({
  run_id: text({ required: true, orElse: 'run_uuid' }),
  step: integer({ default: 0 }),
  max_results: integer({ min: 1, max: 50_000 }),
  metrics: list(message({ key: text({ required: true }), value: double({ required: true }) })),
  view_type: choice({ ACTIVE_ONLY: 1, DELETED_ONLY: 2 }, { default: 'ACTIVE_ONLY' }),
  is_last: flag(),
  labels: map(text()),
  extra: json(),
});

describe('a request', () => {
  it('has defaults, and its unknown fields are ignored', () => {
    expect(read({ run_id: 'a', colour: 'red', step: null })).toEqual({
      run_id: 'a',
      step: 0,
      max_results: undefined,
      metrics: [],
      view_type: 'ACTIVE_ONLY',
      is_last: undefined,
      labels: {},
      extra: undefined,
    });
  });

  it('is read in both spellings of proto-JSON, and by older names', () => {
    expect(read({ runId: 'a', maxResults: '7', viewType: 2, isLast: true })).toMatchObject({
      run_id: 'a',
      max_results: 7,
      view_type: 'DELETED_ONLY',
      is_last: true,
    });
    expect(read({ run_uuid: 'b' }).run_id).toBe('b');
  });

  it.each([
    [
      'both spellings of a field',
      { run_id: 'a', runId: 'b' },
      /^Request specifies both 'run_id' and 'runId'/,
    ],
    ['a missing field', {}, `Missing value for required parameter 'run_id'. ${SEE}`],
    ['an empty one', { run_id: '' }, `Missing value for required parameter 'run_id'. ${SEE}`],
    [
      'a number for text',
      { run_id: 31 },
      `Invalid value 31 for parameter 'run_id' supplied:  Hint: Value was of type 'int'. ${SEE}`,
    ],
    ['a half step', { run_id: 'a', step: 1.5 }, /^Invalid value 1.5 for parameter 'step'.*'float'/],
    ['a boolean step', { run_id: 'a', step: true }, /^Invalid value true for parameter 'step'.*'bool'/],
    ['a hex step', { run_id: 'a', step: '0x10' }, /^Invalid value "0x10" for parameter 'step'.*'str'/],
    ['an integer beyond 2^53', { run_id: 'a', step: 2n ** 53n }, /^Invalid value .* for parameter 'step'/],
    ['too many results', { run_id: 'a', max_results: 50_001 }, /^Invalid value 50001 for parameter/],
    [
      'an object for a list',
      { run_id: 'a', metrics: {} },
      /^Invalid value {} for parameter 'metrics'.*'dict'/,
    ],
    ['null in a list', { run_id: 'a', metrics: [null] }, /'metrics\[0\]' supplied.*'NoneType'/],
    [
      'a missing field inside',
      { run_id: 'a', metrics: [{ key: 'k', value: 1 }, { key: 'k' }] },
      `Missing value for required parameter 'metrics[1].value'. ${SEE}`,
    ],
    [
      'a number that overflowed',
      { run_id: 'a', metrics: [{ key: 'k', value: Infinity }] },
      /metrics\[0\].value/,
    ],
    [
      'an unknown choice',
      { run_id: 'a', view_type: 'SOME' },
      /^Invalid value "SOME" for parameter 'view_type'/,
    ],
    ['NUL in text', { run_id: 'a\0' }, /'run_id' contains a NUL byte/],
    ['a lone surrogate', { run_id: '\ud800' }, /'run_id' contains a NUL byte or a lone surrogate/],
    ['NUL in a key', { run_id: 'a', labels: { 'a\0': 'b' } }, /'labels' contains a NUL byte/],
    ['NUL inside free-form JSON', { run_id: 'a', extra: [{ a: '\0' }] }, /'extra' contains a NUL byte/],
  ])('is refused with %s', (_, request, message) => {
    expect(() => read(request)).toThrow(
      expect.objectContaining({
        code: 'INVALID_PARAMETER_VALUE',
        status: 400,
        message: typeof message === 'string' ? message : expect.stringMatching(message),
      }),
    );
  });

  it('is refused where a value shown in the message is nested too deep to show', () => {
    let deep: unknown = 0;
    for (let depth = 0; depth < 200_000; depth++) deep = [deep];
    expect(() => read({ run_id: deep })).toThrow(/^Invalid value … for parameter 'run_id'/);
    expect(() => read({ run_id: 'a', extra: deep })).toThrow(/nested more than 200 levels/);
  });

  it('tells int64 from their neighbours', () => {
    const readLong = readerOf({ value: long({ required: true }) });
    expect(readLong({ value: '-9223372036854775808' }).value).toBe('-9223372036854775808');
    expect(() => readLong({ value: '9223372036854775808' })).toThrow(/Invalid value/);
  });
});
