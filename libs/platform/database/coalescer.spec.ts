import { describe, expect, it } from 'vitest';
import { Coalescer } from './coalescer.js';

/** Records the groups it is given, and answers when told to. */
function recorder(maxWeight: number, mostAtOnce: number) {
  const groups: number[][] = [];
  const release: (() => void)[] = [];
  const coalescer = new Coalescer<number, number>(
    async (items) => {
      groups.push([...items]);
      await new Promise<void>((resolve) => release.push(resolve));
      if (items.includes(13)) throw new Error('unlucky');
      return items.map((item) => item * 10);
    },
    { mostAtOnce, maxWeight, weigh: (item) => item },
  );
  return { coalescer, groups, release };
}
const turn = () => new Promise((resolve) => setImmediate(resolve));

describe('what a coalescer gathers', () => {
  it('goes out together where it comes at the same time, and what comes meanwhile as the next group', async () => {
    const { coalescer, groups, release } = recorder(100, 1);
    const first = [1, 2].map((item) => coalescer.add(item));
    await turn();
    const second = [3, 4].map((item) => coalescer.add(item));
    await turn();
    expect(groups).toEqual([[1, 2]]);
    release.shift()!();
    expect(await Promise.all(first)).toEqual([10, 20]);
    await turn();
    expect(groups).toEqual([
      [1, 2],
      [3, 4],
    ]);
    release.shift()!();
    expect(await Promise.all(second)).toEqual([30, 40]);
  });

  it('is no heavier than allowed, but for a single item', async () => {
    const { coalescer, groups } = recorder(10, 9);
    for (const item of [6, 4, 5, 50, 1]) void coalescer.add(item);
    await turn();
    expect(groups).toEqual([[6, 4], [5], [50], [1]]);
  });

  it('is under way in no more groups than allowed', async () => {
    const { coalescer, groups, release } = recorder(1, 2);
    for (let item = 0; item < 5; item++) void coalescer.add(1);
    await turn();
    expect(groups).toHaveLength(2);
    release.shift()!();
    await turn();
    await turn();
    expect(groups).toHaveLength(3);
  });

  it('fails as a whole, and the next group does not', async () => {
    const { coalescer, release } = recorder(100, 1);
    const failed = Promise.allSettled([coalescer.add(13), coalescer.add(1)]);
    await turn();
    const next = coalescer.add(2);
    release.shift()!();
    expect((await failed).map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    await turn();
    release.shift()!();
    expect(await next).toBe(20);
  });
});
