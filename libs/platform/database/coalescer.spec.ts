import { describe, expect, it } from 'vitest';
import { Coalescer } from './coalescer.js';

const tick = () => new Promise((resolve) => setImmediate(resolve));

describe('coalesced look-ups', () => {
  it('go out at once when none is under way, and together when some are', async () => {
    const asked: (readonly number[])[] = [];
    const lookups = new Coalescer<number, string>(async (keys) => {
      asked.push(keys);
      await tick();
      return keys.map((key) => (key === 3 ? undefined : `v${key}`));
    }, 1);
    const values = await Promise.all([1, 2, 3, 4].map((key) => lookups.get(key)));
    expect(values).toEqual(['v1', 'v2', undefined, 'v4']);
    expect(asked).toEqual([[1], [2, 3, 4]]);
    expect(await lookups.get(5)).toBe('v5');
  });

  it('are no more than allowed at once, and no larger', async () => {
    let now = 0;
    let most = 0;
    const sizes: number[] = [];
    const lookups = new Coalescer<number, number>(
      async (keys) => {
        sizes.push(keys.length);
        most = Math.max(most, ++now);
        await tick();
        now--;
        return keys;
      },
      2,
      3,
    );
    const keys = Array.from({ length: 20 }, (_, key) => key);
    expect(await Promise.all(keys.map((key) => lookups.get(key)))).toEqual(keys);
    expect(most).toBe(2);
    expect(Math.max(...sizes)).toBe(3);
  });

  it('fail with the query that carried them, and those after it do not', async () => {
    let broken = true;
    const lookups = new Coalescer<number, number>(async (keys) => {
      await tick();
      if (broken) throw new Error('away');
      return keys;
    });
    await expect(Promise.all([lookups.get(1), lookups.get(2)])).rejects.toThrow('away');
    await tick();
    broken = false;
    expect(await lookups.get(3)).toBe(3);
  });
});
