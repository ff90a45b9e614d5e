import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseJson, repairJson } from './repair.js';

/** What a model may have meant: an object or a list, without what JSON cannot say. */
const meant = fc
  .oneof(
    fc.dictionary(fc.string({ unit: 'binary', maxLength: 12 }), fc.jsonValue({ maxDepth: 3 }), {
      maxKeys: 6,
    }),
    fc.array(fc.jsonValue({ maxDepth: 3 }), { maxLength: 6 }),
  )
  .map((value) => JSON.parse(JSON.stringify(value)) as unknown);

/** Words as they stand around an answer. */
const prose = fc
  .array(
    fc.constantFrom(
      'Here',
      'is',
      "what's",
      'the',
      'JSON',
      'you',
      'asked',
      'for:',
      'Müller',
      '🚀',
      '1.',
      '—',
      'ok?',
    ),
    {
      maxLength: 8,
    },
  )
  .map((words) => words.join(' '));

const same = (text: string, value: unknown) => {
  const repaired = repairJson(text, (found) => JSON.stringify(found) === JSON.stringify(value));
  expect(repaired?.value).toEqual(value);
  expect(JSON.parse(repaired!.text)).toEqual(value);
};

/** A comma before every closing bracket that follows something. */
const withTrailingCommas = (value: unknown) =>
  JSON.stringify(value, null, 1).replaceAll(/([^\s[{,])\n(\s*)([\]}])/g, '$1,\n$2$3');

describe('repairing', () => {
  it('finds the value inside a fence, whatever is in it', () => {
    fc.assert(
      fc.property(meant, prose, prose, fc.constantFrom('', 'json', 'JSON'), (value, before, after, tag) => {
        const text = JSON.stringify(value);
        // A fence inside a string ends the fence, for people too.
        fc.pre(!text.includes('```'));
        same(`${before}\n\`\`\`${tag}\n${text}\n\`\`\`\n${after}`, value);
      }),
    );
  });

  it('finds the value in prose', () => {
    fc.assert(
      fc.property(meant, prose, prose, (value, before, after) =>
        same(`${before} ${JSON.stringify(value)} ${after}`, value),
      ),
    );
  });

  it('takes trailing commas away', () => {
    fc.assert(
      fc.property(meant, fc.boolean(), (value, isFenced) => {
        const text = withTrailingCommas(value);
        // Strings hold no line breaks, so that nothing inside them was touched.
        fc.pre(!text.includes('```'));
        same(isFenced ? `\`\`\`json\n${text}\n\`\`\`` : text, value);
      }),
    );
  });

  it.each([
    ["{'action': 'refund', 'note': None}", { action: 'refund', note: null }],
    ['{action: "refund" /* first */}', { action: 'refund' }],
    ['{"action": "refund"', { action: 'refund' }],
    ['Sure! {"action": "refund", "list": [1, 2', { action: 'refund', list: [1, 2] }],
    ['{\\"action\\": \\"refund\\"}', { action: 'refund' }],
    ['"{\\"action\\": \\"refund\\"}"', { action: 'refund' }],
  ])('mends %s', (text, value) => same(text, value));

  it('takes the last of several that are accepted: models think first and answer then', () => {
    const text = '<think>Perhaps {"a": 1}?</think> {"a": 2} I am sure of {that}.';
    expect(repairJson(text, (value) => typeof (value as any).a === 'number')?.value).toEqual({ a: 2 });
  });

  it('makes nothing of a text that has no JSON', () => {
    for (const text of ['hello', '', '   ', '"', 'I cannot answer that.', '```\n```', '42, perhaps'])
      expect(repairJson(text, () => true)?.value, text).toBeUndefined();
  });

  it('keeps to what is accepted', () => {
    expect(repairJson('```json\n{"a":1}\n```', () => false)).toBeUndefined();
  });

  it('takes a bounded time for any text, and throws at none', () => {
    const n = 1_000_000;
    const hostile = [
      '['.repeat(n),
      '{"a":'.repeat(n / 5),
      `["${'a" b '.repeat(n / 5)}`,
      `{"a":"${'x "y" '.repeat(n / 6)}"}`,
      '{"a":1}\n'.repeat(n / 8),
      '```json\n'.repeat(n / 8),
      '"'.repeat(n),
      '/*'.repeat(n / 2),
      '{"a":1} '.repeat(2_000),
      `["${'a" b '.repeat(3_200)}`,
      `{"a":"${'x "y" '.repeat(2_700)}"}`,
    ];
    for (const text of hostile) {
      const startedAt = performance.now();
      repairJson(text, () => false);
      expect(performance.now() - startedAt, text.slice(0, 20)).toBeLessThan(3_000);
    }
  });

  it('does not parse what nests too deeply to be worked with', () => {
    expect(parseJson(`${'['.repeat(100_000)}${']'.repeat(100_000)}`)).toBeUndefined();
    expect(parseJson('[[]]')).toEqual({ value: [[]] });
  });
});
