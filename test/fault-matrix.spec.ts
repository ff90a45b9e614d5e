import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { matrixTable, runMatrix, type Cell } from './fault-matrix/matrix.js';
import { matrixOf } from './fault-matrix/page.js';
import { createTestDatabase, type TestDatabase } from './support/database.js';

describe('the fault matrix', () => {
  let database: TestDatabase;
  let cells: Cell[];
  beforeAll(async () => {
    database = await createTestDatabase();
    cells = await runMatrix(database);
  });
  afterAll(() => database.drop());

  it('comes out as promised, fault by fault, whole and streamed, under every retry policy', () => {
    const differing = cells
      .filter((cell) => cell.seen !== cell.expected)
      .map(
        ({ fault, isStreamed, policy, expected, seen }) =>
          `${fault.name}, ${isStreamed ? 'streamed' : 'whole'}, ${policy}: expected ${expected}, seen ${seen}`,
      );
    expect(differing).toEqual([]);
    expect(cells.length).toBeGreaterThan(150);
  });

  it('is the one in docs/failure-semantics.md', async () => {
    const page = await readFile('docs/failure-semantics.md', 'utf8');
    expect(matrixOf(page).split('\n')).toEqual(matrixTable(cells).split('\n'));
  });
});
