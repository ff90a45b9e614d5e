import { mkdtemp, readdir, rename, rm, truncate } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { v7 } from 'uuid';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { linkedEvent, type FeedbackLink } from '#libs/core/feedback/feedback-link.js';
import type { FeedbackEvent, ReceivedFeedback } from '#libs/core/feedback/feedback-event.js';
import { createLogger } from '#libs/platform/log/logger.js';
import { FeedbackSpool, FeedbackSpoolFullError } from './feedback-spool.js';

const LINK: FeedbackLink = {
  workspaceId: v7(),
  inferenceId: null,
  clientRequestId: 'r',
  unit: null,
  endpoint: null,
  name: 'thumbs',
  sourceId: null,
  kind: 'boolean',
  values: null,
  expiresAtMs: 0,
};

describe('the spool of feedback', () => {
  let directory: string;
  let spool: FeedbackSpool;
  const open = (maxBytes = 1e9) =>
    new FeedbackSpool(
      { directory, maxBytes, fsync: 'off', segmentBytes: 2000 },
      createLogger('test', 'silent'),
    );
  const event = (n: number): ReceivedFeedback => ({
    ...(linkedEvent(LINK, String(n), { value: true }, 0) as FeedbackEvent),
    id: v7(),
    workspaceId: LINK.workspaceId,
    receivedAt: new Date(0).toISOString(),
  });
  const append = (from: number, to: number) =>
    Promise.all(Array.from({ length: to - from }, (_, i) => spool.append([event(from + i)])));
  const read = (maxEvents: number, maxBytes = Infinity) => spool.read(maxEvents, maxBytes);
  const ids = (records: Awaited<ReturnType<FeedbackSpool['read']>>) =>
    records.flatMap(({ events }) => events.map(({ eventId }) => Number(eventId.split(':')[1])));
  const numbers = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);
  const segments = async () => (await readdir(directory)).filter((name) => name.includes('.seg'));

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'catena-feedback-'));
    spool = open();
  });
  afterEach(async () => {
    await spool.shutdown();
    await rm(directory, { recursive: true, force: true });
  });

  it('gives back what was written, in order, over many files, and lets go of them when all is settled', async () => {
    const seen: number[] = [];
    for (let round = 0; round < 30; round++) {
      for (let i = 0; i < 7; i++) await append(round * 7 + i, round * 7 + i + 1);
      for (;;) {
        const records = await read(3);
        if (records.length === 0) break;
        seen.push(...ids(records));
        spool.settle(records);
      }
    }
    expect(seen).toEqual(numbers(0, 210));
    expect(spool.damageCount).toBe(0);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(await segments()).toHaveLength(1);
  });

  it('gives what was not settled to the next process, also where the last record is torn', async () => {
    await append(0, 40);
    spool.settle((await read(1)).slice(0, 0));
    await spool.shutdown();
    const last = join(directory, (await segments()).sort().at(-1)!);
    await append(0, 0);
    spool = open();
    const first = await read(1000);
    expect(ids(first).sort((a, b) => a - b)).toEqual(numbers(0, 40));
    await spool.shutdown();
    await truncate(last, 100);
    spool = open();
    const again = await read(1000);
    expect(ids(again).length).toBeLessThan(40);
    spool.settle(again);
    await append(50, 51);
    expect(ids(await read(10))).toEqual([50]);
    expect(spool.damageCount).toBe(0);
  });

  it('refuses what it has no room for, and takes more once some of it is settled', async () => {
    await spool.shutdown();
    spool = open(5000);
    await append(0, 30);
    await expect(append(30, 31)).rejects.toThrow(FeedbackSpoolFullError);
    spool.settle(await read(1000));
    await append(31, 32);
    expect(ids(await read(10))).toEqual([31]);
  });

  it('gives only so many bytes at once, and one record however large it is', async () => {
    await append(0, 10);
    const large = { ...event(10), textValue: 'x'.repeat(5000) };
    await spool.append([large]);
    await append(11, 12);
    const batches: number[][] = [];
    for (let records = await read(1000, 1000); records.length > 0; records = await read(1000, 1000))
      batches.push(ids(records));
    expect(batches.flat()).toEqual(numbers(0, 12));
    expect(Math.max(...batches.map(({ length }) => length))).toBeLessThan(5);
  });

  it('loses nothing where a file cannot be read for a while', async () => {
    for (let i = 0; i < 40; i++) await append(i, i + 1);
    const second = join(directory, (await segments()).sort()[1]!);
    await rename(second, `${directory}/away`);
    const first = await read(1000);
    expect(first.length).toBeGreaterThan(0);
    await expect(read(1000)).rejects.toThrow('ENOENT');
    await rename(`${directory}/away`, second);
    expect(ids([...first, ...(await read(1000))])).toEqual(numbers(0, 40));
  });
});
