import { describe, expect, it } from 'vitest';
import { affinityKey, affinityWeight } from './affinity.js';

const system = { role: 'system', content: 'You help.' };
const user = (content: unknown) => ({ role: 'user', content });
const said = (content: string) => ({ role: 'assistant', content });

describe('affinityKey', () => {
  it('is the same for every turn of a conversation, and another for another conversation', () => {
    const first = affinityKey([system, user('My order is late.')]);
    expect(affinityKey([system, user('My order is late.'), said('Which?'), user('Number 4711.')])).toBe(
      first,
    );
    expect(affinityKey([system, user('My order is early.')])).not.toBe(first);
    expect(affinityKey([{ ...system, content: 'You sell.' }, user('My order is late.')])).not.toBe(first);
  });

  it('is the same for questions behind the same long document, and another for another document', () => {
    const document = 'A paragraph of a contract that says little, but says it at length. '.repeat(60);
    const key = affinityKey([user(`${document}Who pays?`)]);
    expect(affinityKey([user(`${document}Until when does it run?`)])).toBe(key);
    const other = `${document.slice(0, 2050)}X${document.slice(2051)}`;
    expect(affinityKey([user(`${other}Who pays?`)])).not.toBe(key);
  });

  it('reads the first text of a message in parts, and bears anything else', () => {
    expect(affinityKey([user([{ type: 'image_url' }, { type: 'text', text: 'What is this?' }])])).toBe(
      affinityKey([user('What is this?')]),
    );
    for (const content of [null, undefined, 7, [], [null], [{ text: 7 }], '', '\ud800'])
      expect(affinityKey([user(content)])).toBeGreaterThan(0);
    expect(affinityKey([])).toBeGreaterThan(0);
  });
});

describe('affinityWeight', () => {
  it('spreads keys evenly, and moves only those of a replica that goes', () => {
    const seeds = [11, 22, 33, 44];
    const homeOf = (key: number, among: readonly number[]) =>
      among.reduce((best, seed) => (affinityWeight(key, seed) > affinityWeight(key, best) ? seed : best));
    const counts = new Map<number, number>();
    for (let n = 0; n < 10_000; n++) {
      const key = affinityKey([user(`conversation ${n}`)]);
      const home = homeOf(key, seeds);
      counts.set(home, (counts.get(home) ?? 0) + 1);
      if (home !== 22) expect(homeOf(key, [11, 33, 44])).toBe(home);
    }
    for (const count of counts.values()) expect(Math.abs(count - 2500)).toBeLessThan(250);
  });
});
