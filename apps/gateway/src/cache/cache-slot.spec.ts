import { LRUCache } from 'lru-cache';
import { describe, expect, it } from 'vitest';
import type { ServedChain } from '../snapshot/snapshot.js';
import type { ClosingMeta } from '../spool/record.js';
import { CacheSlot, type KeptAnswer } from './answer-cache.js';

const CHAIN = { content: { generate: { modelEndpoint: 'gpu', model: 'small' } } } as ServedChain;
const CLOSING = {
  status: 'ok',
  modelEndpoint: 'gpu',
  model: 'small',
  finishReason: 'stop',
  schemaValid: null,
} as ClosingMeta;
const answer = (...reasons: string[]) =>
  Buffer.from(JSON.stringify({ choices: reasons.map((finish_reason) => ({ finish_reason })) }));

/** Whether an answer is kept. */
function keeps(closing: Partial<ClosingMeta> = {}, body: Buffer = answer('stop')): boolean {
  const answers = new LRUCache<string, KeptAnswer>({ max: 10 });
  new CacheSlot(answers, 'k', 1000, CHAIN, undefined).keep({ ...CLOSING, ...closing }, body);
  return answers.size === 1;
}

describe('a place for an answer', () => {
  it('takes what is whole, valid, and from the model that the chain asks first', () => {
    expect([keeps(), keeps({ schemaValid: true }), keeps({}, answer('tool_calls', 'length'))]).toEqual([
      true,
      true,
      true,
    ]);
  });

  it.each<[string, Partial<ClosingMeta>, Buffer?]>([
    ['an error', { status: 'error' }],
    ['a part', { status: 'cancelled' }],
    ['what violates the output contract', { schemaValid: false }],
    ['the answer of a fallback at another model endpoint', { modelEndpoint: 'vendor' }],
    ['the answer of another model', { model: 'large' }],
    ['what was filtered', {}, answer('content_filter')],
    ['a choice that was', {}, answer('stop', 'content_filter')],
    ['no answer', {}, Buffer.from('{}')],
  ])('does not take %s', (_, closing, body) => {
    expect(keeps(closing, body)).toBe(false);
  });

  it('takes nothing where the caller forbids it', () => {
    const answers = new LRUCache<string, KeptAnswer>({ max: 10 });
    new CacheSlot(answers, undefined, 1000, CHAIN, undefined).keep(CLOSING, answer('stop'));
    expect(answers.size).toBe(0);
  });

  it('holds no more memory than the answer takes', () => {
    const answers = new LRUCache<string, KeptAnswer>({ max: 10 });
    const chunk = Buffer.concat([answer('stop'), Buffer.alloc(1 << 20)]);
    const length = answer('stop').length;
    new CacheSlot(answers, 'k', 1000, CHAIN, undefined).keep(CLOSING, chunk.subarray(0, length));
    const { body } = answers.get('k')!;
    expect([body.equals(answer('stop')), body.buffer.byteLength]).toEqual([true, length]);
  });
});
