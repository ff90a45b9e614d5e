import { describe, expect, it } from 'vitest';
import { treeTotals } from './tree-totals.js';

const node = (id: string, parentId: string | null, tokens?: number) => ({
  id,
  parentId,
  figures: tokens === undefined ? undefined : { tokens },
});

describe('totals of a tree of spans', () => {
  it('sum the leaves', () => {
    expect(treeTotals([node('r', null), node('a', 'r', 3), node('b', 'r', 4)])).toEqual({ tokens: 7 });
  });

  it('take the parent where it repeats what its children used', () => {
    expect(treeTotals([node('r', null, 7), node('a', 'r', 3), node('b', 'r', 4)])).toEqual({ tokens: 7 });
  });

  it('count spans whose parent is not there yet', () => {
    expect(treeTotals([node('a', 'unknown', 3), node('b', 'a', 3)])).toEqual({ tokens: 3 });
  });

  it('are none where no span tells any', () => {
    expect(treeTotals([node('r', null), node('a', 'r')])).toBeUndefined();
  });

  it('do not overflow the stack on a chain of 100 000 spans', () => {
    const chain = Array.from({ length: 100_000 }, (_, i) => node(String(i), i === 0 ? null : String(i - 1)));
    expect(treeTotals([...chain, node('leaf', '99999', 5)])).toEqual({ tokens: 5 });
  });
});
