import { describe, expect, it } from 'vitest';
import { compileContract, TOO_LARGE } from './compile-contract.js';
import { assertEnds } from './subschemas.js';
import { allowWork } from './work.js';

const problems = (schema: object, value: unknown) => compileContract(schema)(value);
const isValid = (schema: object, value: unknown) => problems(schema, value).length === 0;

function took(work: () => unknown): number {
  const startedAt = performance.now();
  work();
  return performance.now() - startedAt;
}

/** Each definition asks twice for the next: 2^depth evaluations of one value. */
function doubling(depth: number): object {
  const $defs: Record<string, object> = { d0: { type: 'integer' } };
  for (let level = 1; level <= depth; level++)
    $defs[`d${level}`] = { allOf: [{ $ref: `#/$defs/d${level - 1}` }, { $ref: `#/$defs/d${level - 1}` }] };
  return { $defs, $ref: `#/$defs/d${depth}` };
}

describe('a contract', () => {
  it('tells all that is wrong, in sentences', () => {
    const schema = {
      type: 'object',
      properties: { action: { enum: ['a', 'b'] }, count: { type: 'integer', minimum: 1 } },
      required: ['action', 'note'],
      additionalProperties: false,
    };
    expect(problems(schema, { action: 'c', count: 0, more: 1 })).toEqual([
      { path: '', message: 'lacks the field "note"' },
      { path: '', message: 'has the unknown field "more"; remove it' },
      { path: '/action', message: 'must be one of ["a","b"]' },
      { path: '/count', message: 'must be >= 1' },
    ]);
    expect(problems({ ...schema, required: ['action'] }, { action: 'a' })).toEqual([]);
  });

  it.each([
    ['date', '2026-11-22', '2026-13-22'],
    ['date-time', '2026-11-22T10:00:00Z', '2026-11-22'],
    ['time', '10:00:00Z', '25:00:00Z'],
    ['duration', 'P3D', '3 days'],
    ['email', 'ada@example.com', 'ada'],
    ['hostname', 'example.com', 'exa mple'],
    ['ipv4', '10.0.0.1', '10.0.0.256'],
    ['ipv6', '::1', ':::1'],
    ['uri', 'https://example.com/a', 'example'],
    ['uuid', '019aab9e-0b1a-7c3e-9f6f-1d2c3b4a5968', '019aab9e'],
    ['json-pointer', '/a/b', 'a'],
    ['regex', '^a+$', '('],
  ])('checks the format %s', (format, right, wrong) => {
    expect(isValid({ type: 'string', format }, right)).toBe(true);
    expect(isValid({ type: 'string', format }, wrong)).toBe(false);
  });

  it('takes an unknown format for a remark', () => {
    expect(isValid({ type: 'string', format: 'iban' }, 'x')).toBe(true);
  });

  it('compares items by value', () => {
    const unique = { type: 'array', uniqueItems: true };
    expect(
      isValid(unique, [
        { a: 1, b: 2 },
        { b: 2, a: 1 },
      ]),
    ).toBe(false);
    expect(isValid(unique, [1, '1', [1], { a: 1 }, null, true])).toBe(true);
    expect(isValid(unique, [JSON.parse('"\\ud800"'), JSON.parse('"\\ud800"')])).toBe(false);
    expect(isValid({ type: 'array', uniqueItems: false }, [1, 1])).toBe(true);
  });

  it('says that false is not allowed', () => {
    expect(problems({ properties: { a: false } }, { a: 1 })).toEqual([
      { path: '/a', message: 'is not allowed' },
    ]);
  });

  it('keeps what it says short and storable, whatever the model wrote', () => {
    const name = 'x'.repeat(100_000);
    const said = problems({ additionalProperties: false }, { [name]: 1, 'a\0b': 1, '\ud800': 1 });
    expect(said.length).toBeGreaterThan(0);
    for (const { message } of said) {
      expect(message.length).toBeLessThan(400);
      expect(message.isWellFormed() && !message.includes('\0')).toBe(true);
    }
  });
});

it('compiles before any check has been made', () => {
  allowWork(0);
  expect(isValid({ enum: ['a', { b: 1 }] }, { b: 1 })).toBe(true);
});

describe('what would hold the process up', () => {
  it('is stopped where a schema evaluates exponentially often', () => {
    const check = compileContract(doubling(40));
    expect(took(() => expect(check(1)).toBe(TOO_LARGE))).toBeLessThan(2_000);
    expect(compileContract(doubling(8))(1)).toEqual([]);
  });

  it('is stopped under names that JSON Schema does not know, too', () => {
    const { $defs, $ref } = doubling(40) as any;
    const text = JSON.stringify({ 'x-parts': $defs, $ref }).replaceAll('#/$defs', '#/x-parts');
    expect(took(() => expect(compileContract(JSON.parse(text))(1)).toBe(TOO_LARGE))).toBeLessThan(2_000);
  });

  it('is no unique list of many objects', () => {
    const items = Array.from({ length: 20_000 }, (_, id) => ({ id, name: `n${id}` }));
    const check = compileContract({ type: 'array', uniqueItems: true, items: { type: 'object' } });
    expect(took(() => expect(check(items)).toEqual([]))).toBeLessThan(1_000);
  });

  it('is no long enum, which is compared by value', () => {
    const values = Array.from({ length: 50_000 }, (_, index) => `value ${index}`);
    const check = compileContract({ type: 'array', items: { enum: [...values, { a: 1, b: [2] }, 7, null] } });
    const items = Array.from({ length: 100_000 }, () => 'value 49999');
    expect(took(() => expect(check(items)).toEqual([]))).toBeLessThan(1_000);
    expect(check([{ b: [2], a: 1 }, 7, null])).toEqual([]);
    for (const wrong of ['7', 'null', '{"a":1,"b":[2]}', { a: 1 }, [2], false, '"value 1', 'value'])
      expect(check([wrong]), JSON.stringify(wrong)).toHaveLength(1);
  });

  it('is no list in which everything is wrong', () => {
    const items = Array.from({ length: 400_000 }, () => 0);
    const check = compileContract({ type: 'array', items: { type: 'string' } });
    let said: readonly unknown[] = [];
    expect(took(() => (said = check(items)))).toBeLessThan(1_000);
    expect(said.length).toBeGreaterThan(0);
  });

  it('is no text made for the pattern of a format', () => {
    const hostile = [
      'a@' + 'a-'.repeat(5_000),
      `http://${'a'.repeat(5_000)}@`,
      'P' + '1'.repeat(5_000),
      'a.'.repeat(5_000),
    ];
    for (const format of [
      'email',
      'hostname',
      'uri',
      'uri-reference',
      'uri-template',
      'duration',
      'date-time',
      'ipv6',
    ])
      for (const text of hostile) {
        const list = Array.from({ length: 100 }, () => text);
        expect(
          took(() => problems({ type: 'array', items: { type: 'string', format } }, list)),
          format,
        ).toBeLessThan(1_000);
      }
  });

  it('is no recursion: a tree is checked, and one without end satisfies nothing', () => {
    const tree = {
      properties: { children: { type: 'array', items: { $ref: '#' } } },
      required: ['children'],
    };
    expect(isValid(tree, { children: [{ children: [] }] })).toBe(true);
    expect(isValid(tree, { children: [{}] })).toBe(false);
    let deep: unknown = { children: [] };
    for (let level = 0; level < 250; level++) deep = { children: [deep] };
    expect(isValid(tree, deep)).toBe(true);
    for (const endless of [{ $ref: '#' }, { $dynamicRef: '#' }, { allOf: [{ $ref: '#' }] }])
      expect(isValid(endless, {})).toBe(false);
  });
});

/** Asked 4 096 times for a schema that one value is held against. */
function often(leaf: object): object {
  const { $defs } = doubling(12) as { $defs: Record<string, object> };
  const text = JSON.stringify({ ...$defs, d0: {} }).replaceAll('allOf', 'anyOf');
  return { $defs: { ...(JSON.parse(text) as object), d0: leaf }, $ref: '#/$defs/d12' };
}

describe('what fails, or takes long by itself, counts too:', () => {
  const names = Array.from({ length: 10_000 }, (_, index) => `p${index}`);
  const fields = Object.fromEntries(names.map((name) => [name, 0]));
  const text = 'x'.repeat(1_000_000);
  const zeros = Array.from({ length: 100_000 }, () => 0);
  it.each([
    ['a constant', { const: [...zeros, 1] }, [1, ...zeros]],
    ['the length of a text', { maxLength: 10 }, text],
    ['a text that is looked up', { enum: ['a'] }, text],
    ['fields that must be there', { required: [...names, 'more'] }, fields],
    ['dependent ones', { dependentRequired: { p0: [...names.slice(0, 500), 'more'] } }, fields],
    ['the number of fields', { minProperties: 20_000 }, fields],
    ['items that are looked for', { contains: { type: 'null' } }, zeros],
    ['items that are all right', { contains: true, minContains: 1_000_000 }, zeros],
  ])('%s', (_, leaf, value) => {
    const check = compileContract(often(leaf));
    expect(took(() => expect(check(value)).not.toEqual([]))).toBeLessThan(2_000);
  });

  it('of a schema that evaluates exponentially often, and always fails', () => {
    const { $defs } = doubling(40) as { $defs: Record<string, object> };
    for (const leaf of [{ const: 'a' }, { not: {} }, { type: 'null' }, false] as object[]) {
      const schema = JSON.stringify({ $defs: { ...$defs, d0: leaf }, $ref: '#/$defs/d40' });
      for (const keyword of ['anyOf', 'oneOf']) {
        const check = compileContract(JSON.parse(schema.replaceAll('allOf', keyword)) as object);
        expect(
          took(() => expect(check(1)).toBe(TOO_LARGE)),
          keyword,
        ).toBeLessThan(2_000);
      }
    }
  });

  it('of very many errors', () => {
    const check = compileContract({ type: 'array', items: { required: names } });
    let said: readonly unknown[] = [];
    expect(took(() => (said = check(Array.from({ length: 5_000 }, () => ({})))))).toBeLessThan(2_000);
    expect(said.length).toBeGreaterThan(0);
  });

  it('of a long pattern', () => {
    for (const pattern of ['^(.?){1000}$', '^(\\pL{0,400}-)*\\d$']) {
      const anyOf = Array.from({ length: 10 }, (_, index) => ({ pattern: `${pattern}|!${index}` }));
      const check = compileContract({ anyOf });
      expect(
        took(() => expect(check('é'.repeat(20_000))).not.toEqual([])),
        pattern,
      ).toBeLessThan(4_000);
    }
  });

  it('of a long enum, which is not told a hundred times', () => {
    const values = Array.from({ length: 100_000 }, (_, index) => `value ${index}`);
    const check = compileContract({ type: 'array', items: { enum: values } });
    expect(took(() => check(Array.from({ length: 1_000 }, () => 0)))).toBeLessThan(1_000);
  });
});

describe('what is refused', () => {
  it.each([
    [{ $ref: '#' }],
    [{ allOf: [{ $ref: '#' }] }],
    [{ $defs: { a: { anyOf: [{ $ref: '#/$defs/b' }] }, b: { not: { $ref: '#/$defs/a' } } } }],
    [{ properties: { a: { $ref: '#/properties/a' } } }],
    [{ if: { $ref: '#' }, else: true }],
    [{ dependentSchemas: { a: { $ref: '#' } } }],
  ])('a schema without end: %j', (schema) => {
    expect(() => assertEnds(schema)).toThrow('leads back to itself');
  });

  it('no tree, and nothing that only looks like a reference', () => {
    for (const schema of [
      { properties: { children: { items: { $ref: '#' } } } },
      { $defs: { a: { $ref: '#/$defs/b' }, b: { type: 'string' } }, $ref: '#/$defs/a' },
      { const: { $ref: '#' }, enum: [{ $ref: '#' }] },
      { properties: { $ref: { type: 'string' } } },
      doubling(200),
    ])
      expect(() => assertEnds(schema)).not.toThrow();
  });

  it('a reference into data, which is not counted', () => {
    const twice = (to: string) => ({ allOf: [{ $ref: to }, { $ref: to }] });
    for (const schema of [
      { $ref: '#/examples/0', examples: [twice('#/examples/1'), {}] },
      { properties: { a: { default: {}, $ref: '#/properties/a/default' } } },
      { $id: 'https://example.com/s', $ref: 'https://example.com/s#/enum/0', enum: [{}] },
      { $dynamicRef: '#/const', const: {} },
    ])
      expect(() => assertEnds(schema)).toThrow('leads to data');
    const many = Array.from({ length: 60 }, (_, index) => ({ $id: `https://example.com/${index}` }));
    expect(() => assertEnds({ allOf: many })).toThrow('more than 50');
    const named = { properties: { default: { type: 'string' }, b: { $ref: '#/properties/default' } } };
    expect(() => assertEnds(named)).not.toThrow();
  });

  it('a schema of very many parts', () => {
    const properties = Object.fromEntries(Array.from({ length: 6_000 }, (_, index) => [`p${index}`, {}]));
    expect(() => assertEnds({ properties })).toThrow('6001 subschemas');
    const names = Object.keys(properties);
    for (const schema of [
      { properties: Object.fromEntries(names.map((name) => [name, true])) },
      { anyOf: names.map(() => false) },
      { dependentRequired: { p0: names } },
    ])
      expect(() => assertEnds(schema)).toThrow('6001 subschemas');
    expect(() => assertEnds({ required: [...names, ...names, ...names, ...names] })).toThrow(
      '1201 subschemas',
    );
    expect(() => assertEnds({ required: names, items: false })).not.toThrow();
  });

  it('patterns that take long to compile', () => {
    const many = Array.from({ length: 900 }, (_, index) => ({ pattern: `(.?){1000}${index}` }));
    expect(
      took(() => expect(() => compileContract({ anyOf: many })).toThrow('too long together')),
    ).toBeLessThan(4_000);
    expect(() => compileContract({ pattern: 'a|'.repeat(2_000) })).toThrow('more than 2048');
  });

  it('a reference outside itself, without asking the network', () => {
    for (const $ref of [
      'https://example.com/schema.json',
      'http://127.0.0.1:1/x',
      'other.json',
      '#/$defs/none',
    ])
      expect(() => compileContract({ $ref })).toThrow(/reference/);
  });
});
