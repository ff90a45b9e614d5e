import { mkdtemp, readdir, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Settings } from '#libs/platform/config/settings.js';
import { DuckDb } from './duck.js';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'catena-duck-'));
});
afterEach(() => rm(directory, { recursive: true }));

const duckOf = (timeoutMs: number) =>
  new DuckDb({
    CATENA_DATA_DIR: directory,
    CATENA_DUCKDB_MEMORY_BYTES: 100_000_000,
    CATENA_STATEMENT_TIMEOUT_MS: timeoutMs,
  } as Settings);

it('gives all questions of one caller the time of one', async () => {
  const duck = duckOf(1_000);
  await duck.newPath('csv'); // loads it
  const begun = performance.now();
  let asked = 0;
  const many = duck.limited(async (limit) => {
    for (; asked < 20; asked++) await duck.ask(() => sleep(300), limit);
  });
  await expect(many).rejects.toThrow('longer than 1000 ms');
  expect(performance.now() - begun).toBeLessThan(3_000);
  expect(asked).toBeLessThan(5);
  expect(await duck.ask((one) => one.query('SELECT 1 AS n'))).toEqual([{ n: 1 }]);
  duck.onApplicationShutdown();
});

it('asks nothing more for a caller who has gone', async () => {
  const duck = duckOf(0);
  const gone = new AbortController();
  const long = duck.limited(
    (limit) =>
      duck.ask((one) => one.query('SELECT sum(a.range + b.range) FROM range(1e6) a, range(1e6) b'), limit),
    gone.signal,
  );
  const ended = expect(long).rejects.toThrow();
  await sleep(300);
  gone.abort();
  await ended;
  duck.onApplicationShutdown();
});

it('removes what a killed process has left, but nothing that is young', async () => {
  const duck = duckOf(0);
  const work = join(directory, 'archive', 'work');
  await rm(await duck.newPath('csv'), { force: true });
  await writeFile(join(work, 'old.csv'), '');
  await writeFile(join(work, 'young.csv'), '');
  await utimes(join(work, 'old.csv'), 0, 0);
  (duck as unknown as { sweepDueMs: number }).sweepDueMs = 0; // an hour later
  await duck.newPath('csv');
  expect(await readdir(work)).toEqual(['young.csv']);
  duck.onApplicationShutdown();
});
