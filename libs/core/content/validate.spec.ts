import { describe, expect, it } from 'vitest';
import { DomainError } from '../errors/catalogue.js';
import { parseReference } from './reference.js';
import { compileContract } from '../contract/compile-contract.js';
import type { Problem } from './problems.js';
import { servingProblem, validateContent } from './validate.js';

const compileOutputSchema = (schema: object) => {
  const check = compileContract(schema);
  return (value: unknown) => check(value).length === 0;
};
const chain = { prompt: 'support@champion', generate: { modelEndpoint: 'gpu', model: 'llama' } };

function problems(kind: 'prompt' | 'model' | 'chain', content: unknown): readonly Problem[] {
  try {
    validateContent(kind, content);
    return [];
  } catch (error) {
    if (!(error instanceof DomainError)) throw error;
    expect(error.code).toBe('VALIDATION_FAILED');
    return error.details as Problem[];
  }
}

describe('content validation', () => {
  it.each([
    ['prompt', { type: 'text', text: 'Hi {{name}}' }],
    ['prompt', { type: 'chat', messages: [{ role: 'system', content: 'x' }, '{{messages}}'] }],
    ['model', { format: 'lora', model: 'triage-7b', baseModel: 'llama' }],
    ['chain', chain],
    [
      'chain',
      {
        ...chain,
        generate: {
          ...chain.generate,
          parameters: { temperature: 0.2, top_k: 40 },
          extraBody: { min_tokens: 3 },
        },
        fallbacks: [{ modelEndpoint: 'vendor', model: 'm' }],
        output: { schema: { type: 'object' }, strict: true },
        retry: { maxAttempts: 3 },
        steps: { before: [{ name: 'redact', type: 'regex', config: { pattern: 'x' } }], after: [] },
      },
    ],
  ] as const)('takes a good %s', (kind, content) => {
    expect(problems(kind, content)).toEqual([]);
  });

  it.each([
    ['an unknown field', 'chain', { ...chain, temprature: 1 }, '', 'unknown field "temprature"'],
    ['a missing prompt', 'chain', { generate: chain.generate }, '', 'lacks the field "prompt"'],
    ['a reference without @', 'chain', { ...chain, prompt: 'support' }, '/prompt', 'pattern'],
    [
      'a parameter out of range',
      'chain',
      { ...chain, generate: { ...chain.generate, parameters: { temperature: 9 } } },
      '/generate/parameters/temperature',
      '<= 2',
    ],
    [
      'an unknown parameter',
      'chain',
      { ...chain, generate: { ...chain.generate, parameters: { temp: 1 } } },
      '/generate/parameters',
      'unknown field "temp"',
    ],
    [
      'a broken output schema',
      'chain',
      { ...chain, output: { schema: { type: 'objekt' } } },
      '/output/schema',
      'not a usable JSON Schema',
    ],
    [
      'an output schema that refers outside',
      'chain',
      { ...chain, output: { schema: { $ref: 'http://x/y' } } },
      '/output/schema',
      'not a usable JSON Schema',
    ],
    [
      'two steps of one name',
      'chain',
      { ...chain, steps: { before: [{ name: 'a', type: 't' }], after: [{ name: 'a', type: 't' }] } },
      '/steps',
      'two steps are named "a"',
    ],
    ['an unclosed placeholder', 'prompt', { type: 'text', text: 'Hi {{name' }, '', 'not closed'],
    ['a prompt of no type', 'prompt', { text: 'Hi' }, '', '"type"'],
    [
      'a role that is none',
      'prompt',
      { type: 'chat', messages: [{ role: 'boss', content: '' }] },
      '/messages/0/role',
      'must be one of',
    ],
    ['a model of no format', 'model', { model: 'x' }, '', 'lacks the field "format"'],
    ['no object at all', 'chain', 'hello', '', 'must be object'],
  ] as const)('refuses %s and says where', (_what, kind, content, path, words) => {
    const found = problems(kind, content).find(
      (problem) => problem.path === path && problem.message.includes(words),
    );
    expect(found, JSON.stringify(problems(kind, content))).toBeDefined();
  });

  it('lets a chain with steps be kept, but not be served without running them', () => {
    const stepped = { ...chain, steps: { before: [], after: [{ name: 'mask', type: 'redact' }] } };
    expect(problems('chain', stepped)).toEqual([]);
    expect(servingProblem(stepped as never)).toContain('step "mask" has type "redact"');
    expect(servingProblem(chain as never)).toBeUndefined();
  });

  it.each([{ $async: true }, { type: 'object', properties: { a: { $async: true, type: 'string' } } }])(
    'refuses %j: ajv would answer with a promise, which counts as valid and rejects where nobody listens',
    (schema) => {
      expect(() => compileOutputSchema(schema)).toThrow('async');
      expect(problems('chain', { ...chain, output: { schema } })).toEqual([
        { path: '/output/schema', message: expect.stringContaining('async') },
      ]);
    },
  );

  it('says which dialect to write when the output schema names another', () => {
    const schema = { $schema: 'http://json-schema.org/draft-07/schema#', type: 'object' };
    expect(problems('chain', { ...chain, output: { schema } })).toEqual([
      { path: '/output/schema', message: expect.stringContaining('2020-12') },
    ]);
  });

  it.each([
    [{ $ref: '#' }, 'leads back to itself'],
    [{ $defs: { a: { allOf: [{ $ref: '#/$defs/a' }] } }, $ref: '#/$defs/a' }, 'leads back to itself'],
    [{ $ref: 'https://example.com/other.json' }, 'nothing is fetched'],
    [{ $ref: '#/$defs/none' }, 'nothing is fetched'],
    [{ type: 'string', pattern: '(?=a)' }, 'not a usable JSON Schema'],
  ])('refuses the output schema %j at registration', (schema, message) => {
    expect(problems('chain', { ...chain, output: { schema } })).toEqual([
      { path: '/output/schema', message: expect.stringContaining(message) },
    ]);
  });

  it('bounds how often an answer is asked for again', () => {
    const output = { schema: {} };
    expect(problems('chain', { ...chain, output: { ...output, repair: false, maxReasks: 5 } })).toEqual([]);
    for (const maxReasks of [-1, 6, 1.5])
      expect(problems('chain', { ...chain, output: { ...output, maxReasks } })).not.toEqual([]);
  });

  it('takes a recursive output schema, and one that never ends satisfies nothing', () => {
    const tree = compileOutputSchema({
      type: 'object',
      properties: { children: { type: 'array', items: { $ref: '#' } } },
    });
    expect([tree({ children: [{ children: [] }] }), tree({ children: [1] })]).toEqual([true, false]);
    for (const endless of [{ $ref: '#' }, { $dynamicRef: '#' }])
      expect(compileOutputSchema(endless)({}), JSON.stringify(endless)).toBe(false);
  });

  it.each(['model', 'messages', 'stream'])('refuses extraBody.%s, which the gateway sets itself', (field) => {
    const generate = { ...chain.generate, extraBody: { [field]: 'x' } };
    for (const [content, path] of [
      [{ ...chain, generate }, '/generate'],
      [{ ...chain, fallbacks: [chain.generate, generate] }, '/fallbacks/1'],
    ] as const)
      expect(problems('chain', content)).toEqual([
        { path: `${path}/extraBody/${field}`, message: expect.stringContaining('remove it') },
      ]);
  });

  it('keeps schemas of different chains apart, even when they share an $id', () => {
    const text = compileOutputSchema({ $id: 'https://example.test/s', type: 'string' });
    const number = compileOutputSchema({ $id: 'https://example.test/s', type: 'number' });
    expect([text('x'), number('x'), number(1)]).toEqual([true, false, true]);
  });
});

describe('patterns in an output contract', () => {
  const matches = (pattern: string, text: string) => compileOutputSchema({ type: 'string', pattern })(text);

  it('cannot hold a process up, whatever the model writes', () => {
    const started = performance.now();
    expect(matches('^(a+)+$', `${'a'.repeat(20_000)}!`)).toBe(false);
    expect(matches('^(a|a)*$', 'a'.repeat(20_000))).toBe(true);
    expect(performance.now() - started).toBeLessThan(2_000);
  });

  it.each([
    ['^\\d{4}-\\d{2}$', '2026-11', true],
    ['^\\d{4}-\\d{2}$', '2026-1', false],
    ['b', 'abc', true],
    ['^[A-Z]{2}\\d+$', 'DE89', true],
    ['^\\p{L}+$', 'Übung', true],
    ['^\\u0041$', 'A', true],
    ['^(?<year>\\d+)\\/x$', '12/x', true],
  ])('%s on %s: %s', (pattern, text, expected) => {
    expect(matches(pattern, text)).toBe(expected);
  });

  it('are refused at registration where they would need backtracking', () => {
    for (const pattern of ['(a)\\1', '(?=a)b', '('])
      expect(problems('chain', { ...chain, output: { schema: { type: 'string', pattern } } })[0]?.path).toBe(
        '/output/schema',
      );
  });
});

describe('references', () => {
  it('tell numbers from aliases and split at the last @', () => {
    expect(parseReference('a@3')).toEqual({ by: 'number', name: 'a', version: 3 });
    expect(parseReference('a@v3')).toEqual({ by: 'alias', name: 'a', alias: 'v3' });
    expect(parseReference({ name: 'a', version: 1, digest: 'sha256:x' })).toMatchObject({
      by: 'pin',
      version: 1,
    });
  });
});
