import { closeSync, existsSync, openSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createLogger } from '#libs/platform/log/logger.js';
import { SegmentCatalog, type Segment } from './segment-catalog.js';
import { SegmentWriter, type PendingRecord } from './segment-writer.js';

/** Files forced to the disk before the caller went on. */
const forced = vi.hoisted((): number[] => []);
vi.mock('node:fs', async (original) => {
  const fs = await original<typeof import('node:fs')>();
  const fdatasyncSync = (fd: number): void => {
    forced.push(fd);
    fs.fdatasyncSync(fd);
  };
  // As long as a file system may take over it.
  const unlink = (...given: Parameters<typeof fs.unlink>) => void setTimeout(() => fs.unlink(...given), 20);
  return { ...fs, fdatasyncSync, unlink };
});

describe('SegmentWriter', () => {
  let directory: string;
  beforeEach(async () => (directory = await mkdtemp(join(tmpdir(), 'catena-writer-'))));
  afterEach(() => rm(directory, { recursive: true, force: true }));

  it('tells every record of a turn, whatever the listener of one of them throws', async () => {
    const errors: Error[] = [];
    const catalog = new SegmentCatalog(directory, createLogger('test', 'silent'));
    const writer = new SegmentWriter(catalog, 'off', 1e6, (error) => errors.push(error));
    const told: string[] = [];
    const record = (name: string): PendingRecord => ({
      written: () => {
        told.push(name);
        if (name === 'b') throw new Error('listener');
      },
      failed: (error) => told.push(error.message),
    });
    for (const name of ['a', 'b', 'c'])
      writer.append('opening', Buffer.from('meta'), Buffer.from('x'), undefined, record(name));
    await new Promise((resolve) => setImmediate(resolve));
    writer.close();
    expect(told).toEqual(['a', 'b', 'c']);
    expect(errors.map((error) => error.message)).toEqual(['listener']);
  });

  it('goes on in another file after a failed write, so that the full one can be deleted', async () => {
    const catalog = new SegmentCatalog(directory, createLogger('test', 'silent'));
    const writer = new SegmentWriter(catalog, 'interval', 1e6, () => undefined);
    const append = () =>
      new Promise<Segment>((resolve, reject) => {
        writer.append('opening', Buffer.from('meta'), Buffer.from('x'), undefined, {
          written: (segment) => {
            segment.live++;
            resolve(segment);
          },
          failed: reject,
        });
      });
    const first = await append();
    const opened = writer as unknown as { fd: number };
    const real = opened.fd;
    opened.fd = openSync('/dev/full', 'w'); // every write fails with ENOSPC
    await expect(append()).rejects.toMatchObject({ code: 'ENOSPC' });
    const second = await append();
    expect(second.number).toBe(first.number + 1);
    catalog.settle(first);
    expect(catalog.count).toBe(1);
    expect(catalog.heldBytes).toBe(second.size);
    writer.close();
    closeSync(real);
  });

  it('has the room of a file that took no more before it writes to the next one', async () => {
    const catalog = new SegmentCatalog(directory, createLogger('test', 'silent'));
    const writer = new SegmentWriter(catalog, 'off', 1e6, () => undefined);
    const append = <T>(then: (segment: Segment) => T) =>
      new Promise<T>((resolve, reject) => {
        writer.append('opening', Buffer.from('meta'), Buffer.from('x'), undefined, {
          written: (segment) => {
            segment.live++;
            resolve(then(segment));
          },
          failed: reject,
        });
      });
    const first = await append((segment) => segment);
    const opened = writer as unknown as { fd: number };
    const real = opened.fd;
    opened.fd = openSync('/dev/full', 'w');
    await expect(append(() => undefined)).rejects.toMatchObject({ code: 'ENOSPC' });
    catalog.settle(first); // stored: nothing but its being the active one keeps it
    expect(await append(() => existsSync(first.path))).toBe(false);
    writer.close();
    closeSync(real);
  });

  it('forces what leaves in the background to the disk before it is closed', async () => {
    const catalog = new SegmentCatalog(directory, createLogger('test', 'silent'));
    const writer = new SegmentWriter(catalog, 'interval', 1, () => undefined);
    const append = (written: () => void) =>
      writer.append('opening', Buffer.from('meta'), Buffer.from('x'), undefined, {
        written: (segment) => {
          segment.live++;
          written();
        },
        failed: () => undefined,
      });
    await new Promise<void>((resolve) => append(resolve));
    forced.length = 0;
    await new Promise<void>((resolve) =>
      append(() => {
        // The first segment has begun to leave in this very turn.
        writer.close();
        resolve();
      }),
    );
    expect(catalog.count).toBe(2);
    expect(new Set(forced).size).toBe(2);
  });
});
