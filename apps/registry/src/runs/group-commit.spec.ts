import { describe, expect, it } from 'vitest';
import { GroupCommit } from './group-commit.js';

/** Records the groups it is given, and answers when told to. */
function recorder(maxWeight: number, maxWriting: number) {
  const groups: number[][] = [];
  const release: (() => void)[] = [];
  const commit = new GroupCommit<number, number>(
    async (items) => {
      groups.push([...items]);
      await new Promise<void>((resolve) => release.push(resolve));
      if (items.includes(13)) throw new Error('unlucky');
      return items.map((item) => item * 10);
    },
    (item) => item,
    maxWeight,
    maxWriting,
  );
  return { commit, groups, release };
}
const turn = () => new Promise((resolve) => setImmediate(resolve));

describe('a group commit', () => {
  it('writes what comes at the same time together, and what comes meanwhile as the next group', async () => {
    const { commit, groups, release } = recorder(100, 1);
    const first = [1, 2].map((item) => commit.add(item));
    await turn();
    const second = [3, 4].map((item) => commit.add(item));
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

  it('makes no group heavier than allowed, but for a single item', async () => {
    const { commit, groups } = recorder(10, 9);
    for (const item of [6, 4, 5, 50, 1]) void commit.add(item);
    await turn();
    expect(groups).toEqual([[6, 4], [5], [50], [1]]);
  });

  it('has no more groups on the way than allowed', async () => {
    const { commit, groups, release } = recorder(1, 2);
    for (let item = 0; item < 5; item++) void commit.add(1);
    await turn();
    expect(groups).toHaveLength(2);
    release.shift()!();
    await turn();
    await turn();
    expect(groups).toHaveLength(3);
  });

  it('fails a group as a whole, and goes on', async () => {
    const { commit, release } = recorder(100, 1);
    const failed = Promise.allSettled([commit.add(13), commit.add(1)]);
    await turn();
    const next = commit.add(2);
    release.shift()!();
    expect((await failed).map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    await turn();
    release.shift()!();
    expect(await next).toBe(20);
  });
});
