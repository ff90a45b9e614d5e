import { describe, expect, it } from 'vitest';
import { compileContract } from '#libs/core/contract/compile-contract.js';
import { judge } from './judge.js';

const choices = (count: number, content: string) =>
  Array.from({ length: count }, (_, index) => ({ index, message: { content }, finish_reason: 'stop' }));

function took(work: () => unknown): number {
  const startedAt = performance.now();
  work();
  return performance.now() - startedAt;
}

/** Some 200 000 evaluations of one value, which is an integer. */
function slow() {
  const $defs: Record<string, object> = { d0: { type: 'integer' } };
  for (let level = 1; level <= 16; level++)
    $defs[`d${level}`] = { allOf: [{ $ref: `#/$defs/d${level - 1}` }, { $ref: `#/$defs/d${level - 1}` }] };
  return compileContract({ $defs, $ref: '#/$defs/d16' });
}

describe('an answer of many choices takes no longer to be judged than one may', () => {
  it('where each takes nearly as long as it may', () => {
    const check = slow();
    expect(judge(choices(2, '1'), check, true).result).toBe('valid');
    expect(took(() => expect(judge(choices(100, '1'), check, true).result).toBe('invalid'))).toBeLessThan(
      4_000,
    );
  });

  it('and those that a usual answer has are all judged, and mended', () => {
    const check = compileContract({ type: 'object', required: ['a'] });
    expect(judge(choices(128, '{"a":1}'), check, true).result).toBe('valid');
    expect(judge(choices(128, "{'a': 1}"), check, true).repaired).toHaveLength(128);
  });
});

it('takes nothing for a call of tools that is none', () => {
  const check = compileContract({ type: 'object', required: ['a'] });
  const message = (calls: unknown) => [{ message: { content: '{"b":1}', tool_calls: calls } }];
  expect(judge(message([{ id: 'c' }]), check, true).result).toBe('called_tools');
  for (const none of [[null], [], null, 'look', [[]]])
    expect(judge(message(none), check, true).result, JSON.stringify(none)).toBe('invalid');
});
