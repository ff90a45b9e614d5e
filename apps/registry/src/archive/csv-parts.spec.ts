import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { csvParts } from './csv-parts.js';

let directory: string;
let files = 0;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'catena-csv-'));
});
afterEach(() => rm(directory, { recursive: true }));

const newPath = () => Promise.resolve(join(directory, `${files++}.csv`));

async function* rows(count: number): AsyncGenerator<Buffer> {
  for (let n = 0; n < count; n++) yield Buffer.from(`${n}\n`);
  throw new Error('the connection is lost');
}

it('keeps no file that nobody was given', async () => {
  const given: string[] = [];
  const take = async () => {
    for await (const { path } of csvParts(rows(7), newPath, 6)) given.push(path);
  };
  await expect(take()).rejects.toThrow('the connection is lost');
  expect(given).toHaveLength(2);
  expect((await readdir(directory)).map((name) => join(directory, name)).toSorted()).toEqual(given);
});

it('keeps the one that its consumer stopped at, which is theirs', async () => {
  for await (const { path } of csvParts(rows(5), newPath, 6)) {
    expect(await readdir(directory)).toHaveLength(1);
    await rm(path);
    break;
  }
  expect(await readdir(directory)).toEqual([]);
});

it('keeps none that the disk refuses', async () => {
  const missing = () => Promise.resolve(join(directory, 'nowhere', 'x.csv'));
  const take = async () => {
    for await (const part of csvParts(rows(5), missing, 6)) void part;
  };
  await expect(take()).rejects.toThrow(/ENOENT/);
});
