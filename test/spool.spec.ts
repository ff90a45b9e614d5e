import { execFileSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmdirSync, writeSync } from 'node:fs';
import {
  appendFile,
  cp,
  mkdtemp,
  open,
  readdir,
  readFile,
  rm,
  stat,
  truncate,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { crc32 } from 'node:zlib';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { v7 } from 'uuid';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ClockSkew } from '../apps/gateway/src/spool/clock-skew.js';
import { InferenceSink } from '../apps/gateway/src/spool/inference-sink.js';
import { Shipper } from '../apps/gateway/src/spool/shipper.js';
import {
  Spool,
  SpoolFullError,
  type SpooledInference,
  type SpoolOptions,
} from '../apps/gateway/src/spool/spool.js';
import { SpoolMetrics } from '../apps/gateway/src/spool/spool.metrics.js';
import { servedColumns } from '../apps/gateway/src/spool/columns.js';
import { recordLength, type ClosingMeta, type OpeningMeta } from '../apps/gateway/src/spool/record.js';
import { DEFAULT_WORKSPACE_ID } from '../libs/platform/database/default-workspace.js';
import { createTestDatabase, type TestDatabase } from './support/database.js';
import { eventually } from './support/gateway.js';
import { TcpProxy } from './support/tcp-proxy.js';
import { WHOLE_INFERENCE } from './support/inferences.js';

/** Lines that the spools of the running test have logged. */
const logged: { level: number; msg: string }[] = [];
const logger = pino({ level: 'warn' }, { write: (line) => void logged.push(JSON.parse(line)) });
const DIGEST = `sha256:${'0'.repeat(64)}`;
const REQUEST = Buffer.from('{"model":"m"}');

function opening(fields: Partial<OpeningMeta> = {}): OpeningMeta {
  return {
    id: v7(),
    startedAtMs: Date.now(),
    served: servedColumns({
      workspaceId: DEFAULT_WORKSPACE_ID,
      endpoint: 'e',
      splitRevision: 1,
      arm: 'a',
      chain: 'c',
      chainVersion: 1,
      chainDigest: DIGEST,
    }),
    unit: 'zürich 🚀',
    bucket: 9999,
    sticky: true,
    assignment: 'split',
    streamed: false,
    dataClass: 'restricted',
    apiKey: 'checkout',
    team: 'payments',
    shadowOf: null,
    cacheHit: null,
    clientRequestId: null,
    ...fields,
  };
}

/** With the caller's metadata, as JSON text. */
interface Opened extends OpeningMeta {
  readonly metadata: string;
}

function closing(fields: Partial<ClosingMeta> = {}): ClosingMeta {
  return {
    status: 'ok',
    errorCode: null,
    errorMessage: null,
    modelEndpoint: 'gpu',
    model: 'm',
    replica: 'http://r',
    attempts: 1,
    finishReason: 'stop',
    schemaValid: true,
    inputTokens: 1,
    outputTokens: 2,
    cachedInputTokens: 1,
    cacheWriteInputTokens: 0,
    reasoningTokens: null,
    contractOutcome: null,
    contractRungs: null,
    costMicroUsd: 5_000_000_000,
    latencyMs: 12.5,
    ttftMs: null,
    dispatchedMs: 0.5,
    modelCalls: null,
    ...fields,
  };
}

/** How earlier versions wrote: how much lower their kinds are, and which columns an opening and a closing lack. */
interface Former {
  readonly kinds: number;
  readonly opening: number;
  readonly closing: number;
}

/** A segment as an earlier version wrote it. */
function asFormerly(segment: Buffer, lacking: Former): Buffer {
  const records: Buffer[] = [];
  for (let at = 0, length: number; at < segment.length; at += length) {
    length = recordLength(segment, at)!;
    const record = segment.subarray(at, at + length);
    const metaEnd = 17 + record.readUInt32LE(5);
    const isOpening = record[4] === 9;
    const kept = metaEnd - (isOpening ? lacking.opening : lacking.closing);
    // The caller's metadata was the fifteenth column of an opening.
    const columns = isOpening ? columnEnd(record, 17, 14) : kept;
    const otherBytes = isOpening ? record.readUInt32LE(13) : 0xffff_ffff;
    const bodies = isOpening && otherBytes !== 0xffff_ffff ? length - otherBytes : length;
    const metadata = isOpening ? Buffer.alloc(4) : Buffer.alloc(0);
    if (isOpening) metadata.writeInt32BE(otherBytes === 0xffff_ffff ? -1 : otherBytes);
    const former = Buffer.concat([
      record.subarray(0, columns),
      metadata,
      isOpening ? record.subarray(bodies) : metadata,
      record.subarray(columns, kept),
      record.subarray(metaEnd, bodies),
    ]);
    former[4] = record[4]! - lacking.kinds;
    former.writeUInt32LE(kept - 17 + (isOpening ? 4 + length - bodies : 0), 5);
    if (isOpening) former.writeUInt32LE(0xffff_ffff, 13);
    former.writeUInt32LE(crc32(former.subarray(4)), 0);
    records.push(former);
  }
  return Buffer.concat(records);
}
function columnEnd(record: Buffer, start: number, columns: number): number {
  let end = start;
  for (let column = 0; column < columns; column++) end += 4 + Math.max(0, record.readInt32BE(end));
  return end;
}
const NULL = 4;
/** Of dispatched_ms and model_calls. */
const CALLS = 4 + 8 + NULL;
/** Without data_class, api_key, team, and the parts of tokens: kinds 3 and 4. */
const BEFORE_CLASSES: Former = {
  kinds: 6,
  opening: 6 * NULL + 'restricted'.length + 'checkout'.length + 'payments'.length,
  // Two of these are integers.
  closing: 5 * NULL + 4 + 4 + CALLS,
};
/** Without shadow_of and cache_hit, contract_outcome and contract_rungs: kinds 5 and 6. */
const BEFORE_CONTRACTS: Former = { kinds: 4, opening: 3 * NULL, closing: 2 * NULL + CALLS };
/** Without client_request_id, dispatched_ms and model_calls: kinds 7 and 8. */
const BEFORE_PAYLOADS: Former = { kinds: 2, opening: NULL, closing: CALLS };

/** A spool with its shipper, as one process has them. */
class Process {
  readonly metrics = new SpoolMetrics(new Registry());
  readonly spool: Spool;
  readonly shipper: Shipper;

  constructor(directory: string, url: string, options: Partial<SpoolOptions> = {}) {
    this.spool = new Spool(
      { directory, maxBytes: 1e9, whenFull: 'refuse', fsync: 'off', ...options },
      this.metrics,
      logger,
    );
    const sink = new InferenceSink(url, () => undefined);
    this.shipper = new Shipper(this.spool, sink, join(directory, 'quarantine.jsonl'), this.metrics, logger);
  }

  async open({ metadata, ...fields }: Partial<Opened> = {}): Promise<
    SpooledInference & { id: string; closed: Promise<Error | undefined> }
  > {
    const waits = {
      opened: Promise.withResolvers<Error | undefined>(),
      closed: Promise.withResolvers<Error | undefined>(),
    };
    const meta = opening(fields);
    const inference = this.spool.open(
      meta,
      REQUEST,
      metadata === undefined ? undefined : Buffer.from(metadata),
      {
        onOpened: waits.opened.resolve,
        onClosed: waits.closed.resolve,
      },
    );
    const error = await waits.opened.promise;
    if (error) throw error;
    return Object.assign(inference, { id: meta.id, closed: waits.closed.promise });
  }

  async complete(
    fields: Partial<Opened> = {},
    closed: Partial<ClosingMeta> = {},
    response: Buffer = Buffer.from('{"choices":[]}'),
  ): Promise<string> {
    const inference = await this.open(fields);
    this.spool.close(inference, closing(closed), undefined, response);
    const error = await inference.closed;
    if (error) throw error;
    return inference.id;
  }

  /** Ends as `kill -9` would, but for the lock and descriptors, which a process takes with it. */
  die(): void {
    this.spool.shutdown();
  }

  async stop(): Promise<void> {
    await this.shipper.stop(2_000);
    this.spool.shutdown();
  }
}

describe('the spool', () => {
  let database: TestDatabase;
  let directory: string;
  const running: Process[] = [];
  beforeAll(async () => (database = await createTestDatabase()));
  afterAll(() => database.drop());
  beforeEach(async () => {
    logged.length = 0;
    directory = await mkdtemp(join(tmpdir(), 'catena-spool-'));
    await database.client.query('TRUNCATE inference, inference_payload');
  });
  afterEach(async () => {
    for (const process of running.splice(0)) await process.stop();
    await rm(directory, { recursive: true, force: true });
  });

  const begin = (options: Partial<SpoolOptions> = {}, url = database.url) =>
    new Process(directory, url, options);
  const ship = (process: Process) => {
    process.shipper.start();
    running.push(process);
    return process;
  };
  const rows = async () => (await database.client.query(`SELECT * FROM ${WHOLE_INFERENCE} ORDER BY id`)).rows;
  const segments = async () => (await readdir(directory)).filter((name) => name.endsWith('.seg')).sort();
  const stored = (count: number) => eventually(async () => (await rows()).length === count);

  it('carries every field to the database', async () => {
    const process = ship(begin());
    const open = { ...opening({ clientRequestId: 'Bestellung 7 ü' }), metadata: '{"a":1}' };
    const rungs = [{ rung: 'ask', result: 'invalid', errors: [{ path: '/a', message: 'Grüezi 🚀' }] }];
    const id = await process.complete(open, {
      schemaValid: false,
      contractOutcome: 'violated',
      contractRungs: JSON.stringify(rungs),
      ttftMs: 1.25,
      modelCalls: JSON.stringify([{ step: 'ask' }]),
    });
    await stored(1);
    const [row] = await rows();
    expect(row).toEqual({
      id,
      started_at: new Date(open.startedAtMs),
      workspace_id: DEFAULT_WORKSPACE_ID,
      endpoint: 'e',
      split_revision: 1,
      arm: 'a',
      chain: 'c',
      chain_version: 1,
      chain_digest: DIGEST,
      unit: 'zürich 🚀',
      bucket: 9999,
      sticky: true,
      assignment: 'split',
      status: 'ok',
      error_code: null,
      error_message: null,
      model_endpoint: 'gpu',
      model: 'm',
      replica: 'http://r',
      attempts: 1,
      streamed: false,
      finish_reason: 'stop',
      schema_valid: false,
      contract_outcome: 'violated',
      contract_rungs: rungs,
      input_tokens: 1,
      output_tokens: 2,
      cost_micro_usd: expect.toSatisfy((value) => Number(value) === 5_000_000_000), // bigint
      latency_ms: 12.5,
      ttft_ms: 1.25,
      dispatched_ms: 0.5,
      model_calls: [{ step: 'ask' }],
      client_request_id: 'Bestellung 7 ü',
      arrived: expect.toSatisfy((value) => Number(value) > 0),
      metadata: '{"a":1}',
      data_class: 'restricted',
      api_key: 'checkout',
      team: 'payments',
      cached_input_tokens: 1,
      cache_write_input_tokens: 0,
      reasoning_tokens: null,
      shadow_of: null,
      cache_hit: null,
      request: REQUEST.toString(),
      response: '{"choices":[]}',
      request_digest: null,
      response_digest: null,
    });
  });

  it('ships what an earlier process left, and marks what it never closed as interrupted', async () => {
    const first = begin();
    const done = await first.complete();
    const cut = await first.open();
    first.die();
    ship(begin());
    await stored(2);
    expect((await rows()).map((row) => [row.id, row.status, row.response, row.request])).toEqual([
      [done, 'ok', '{"choices":[]}', REQUEST.toString()],
      [cut.id, 'interrupted', null, REQUEST.toString()],
    ]);
  });

  it('stores nothing twice when it dies between storing and forgetting', async () => {
    const first = begin();
    const ids = [await first.complete(), await first.complete()];
    first.die();
    const copy = await mkdtemp(join(tmpdir(), 'catena-spool-'));
    for (const name of await segments())
      await appendFile(join(copy, name), await readFile(join(directory, name)));
    const second = ship(begin());
    await stored(2);
    await running.splice(0)[0]!.stop();
    directory = copy;
    const third = ship(begin());
    const extra = await third.complete();
    await stored(3);
    expect((await rows()).map((row) => row.id)).toEqual([...ids, extra]);
    expect(await readdir(copy)).not.toContain('quarantine.jsonl');
    expect(second).not.toBe(third);
  });

  it.each([3, 20, 400, 4_000])(
    'reads up to a record torn after %i bytes, and writes on in a new file',
    async (bytes) => {
      const first = begin();
      const whole = await first.complete();
      const torn = await first.open();
      const [name] = await segments();
      const { size } = await stat(join(directory, name!));
      first.spool.close(torn, closing(), undefined, Buffer.alloc(5000, 97));
      await torn.closed;
      first.die();
      await truncate(join(directory, name!), size + bytes);
      const second = ship(begin());
      const later = await second.complete();
      await stored(3);
      expect((await rows()).map((row) => [row.id, row.status])).toEqual([
        [whole, 'ok'],
        [torn.id, 'interrupted'],
        [later, 'ok'],
      ]);
      expect(logged.filter((line) => line.msg.includes('did not finish')).length).toBe(1);
      expect(logged.filter((line) => line.level >= 50)).toEqual([]);
      await eventually(async () => (await segments()).length === 1); // nothing of it is kept
      expect(await readdir(directory)).not.toContainEqual(expect.stringContaining('damaged'));
    },
  );

  describe('with a record whose bytes have changed', () => {
    const damaged = async () => (await readdir(directory)).filter((name) => name.endsWith('.damaged'));
    const damage = async (name: string, at: number, bytes: number[]) => {
      const file = await open(join(directory, name), 'r+');
      await file.write(Buffer.from(bytes), 0, bytes.length, at);
      await file.close();
    };
    const sizeOf = async (name: string) => (await stat(join(directory, name))).size;
    const damages = async (process: Process) => (await process.metrics.damaged.get()).values[0]!.value;
    const errors = () => logged.filter((line) => line.level >= 50);

    it.each([
      ['checksum', 0, [1, 2]],
      ['kind', 4, [99]],
      ['length of its meta, now short', 5, [3, 0, 0, 0]],
      ['length of its meta, now beyond the end', 5, [0, 0, 0, 0x70]],
      ['meta', 40, [0, 0]],
      ['head altogether', 0, Array.from({ length: 40 }, () => 0xee)],
    ])('ships all others when its %s is damaged, and sets the file aside', async (_, at, bytes) => {
      const first = begin();
      const before = await first.complete();
      const [name] = await segments();
      const start = await sizeOf(name!);
      await first.complete();
      const after = [await first.complete(), await first.complete()];
      first.die();
      await damage(name!, start + at, bytes);
      const second = ship(begin());
      const later = await second.complete();
      await stored(4);
      expect((await rows()).map((row) => [row.id, row.status])).toEqual(
        [before, ...after, later].map((id) => [id, 'ok']),
      );
      await eventually(async () => (await segments()).length === 1); // that of `later`
      expect(await damaged()).toEqual(['000000000001.seg.damaged']);
      expect(await damages(second)).toBe(2); // the opening, and the closing that is of no use without it
      expect(errors()).toEqual([
        expect.objectContaining({
          segment: join(directory, name!),
          offset: start,
          kept: join(directory, '000000000001.seg.damaged'),
        }),
      ]);
      expect((await second.metrics.bytes.get()).values[0]!.value).toBe(await sizeOf((await segments())[0]!));
    });

    it('makes an inference whose closing is damaged one interrupted row', async () => {
      const first = begin();
      const hit = await first.open();
      const [name] = await segments();
      const start = await sizeOf(name!);
      first.spool.close(hit, closing(), undefined, REQUEST);
      await hit.closed;
      const after = await first.complete();
      first.die();
      await damage(name!, start + 27, [0]); // the version of its UUID: never 0 before
      const second = ship(begin());
      await stored(2);
      expect((await rows()).map((row) => [row.id, row.status])).toEqual([
        [hit.id, 'interrupted'],
        [after, 'ok'],
      ]);
      await eventually(async () => (await damaged()).length === 1);
      expect(await damages(second)).toBe(1);
    });

    it('sets a file of the format before aside, which it cannot read, and deletes nothing', async () => {
      const meta = '{"id":"0198f0a0-0000-7000-8000-000000000000"}';
      const record = Buffer.alloc(17 + meta.length + REQUEST.length);
      record[4] = 1;
      record.writeUInt32LE(meta.length, 5);
      record.writeUInt32LE(REQUEST.length, 9);
      record.writeUInt32LE(0xffff_ffff, 13);
      record.write(meta + REQUEST.toString(), 17);
      record.writeUInt32LE(crc32(record.subarray(4)), 0);
      const former = Buffer.concat([record, record]);
      await writeFile(join(directory, '000000000001.seg'), former);
      const process = ship(begin());
      const later = await process.complete();
      await stored(1);
      expect((await rows()).map((row) => row.id)).toEqual([later]);
      await eventually(async () => (await damaged()).length === 1);
      expect(await readFile(join(directory, '000000000001.seg.damaged'))).toEqual(former);
      expect(await damages(process)).toBe(1);
      expect(errors()).toHaveLength(1);
    });

    it('ships what a gateway without data classes left, with nothing in the columns it did not know', async () => {
      const first = begin();
      const done = await first.complete();
      const cut = await first.open();
      first.die();
      const path = join(directory, '000000000001.seg');
      await writeFile(path, asFormerly(await readFile(path), BEFORE_CLASSES));
      ship(begin());
      await stored(2);
      expect(
        (await rows()).map((row) => [
          row.id,
          row.status,
          row.metadata,
          row.ttft_ms,
          row.request,
          row.response,
        ]),
      ).toEqual([
        [done, 'ok', null, null, REQUEST.toString(), '{"choices":[]}'],
        [cut.id, 'interrupted', null, null, REQUEST.toString(), null],
      ]);
      for (const row of await rows())
        expect([row.data_class, row.team, row.cached_input_tokens, row.reasoning_tokens]).toEqual([
          null,
          null,
          null,
          null,
        ]);
      expect(await damaged()).toEqual([]);
    });

    it('ships what a gateway without contracts left', async () => {
      const first = begin();
      const done = await first.complete();
      const cut = await first.open();
      first.die();
      const path = join(directory, '000000000001.seg');
      await writeFile(path, asFormerly(await readFile(path), BEFORE_CONTRACTS));
      ship(begin());
      await stored(2);
      expect(
        (await rows()).map((row) => [row.id, row.status, row.team, row.shadow_of, row.contract_outcome]),
      ).toEqual([
        [done, 'ok', 'payments', null, null],
        [cut.id, 'interrupted', 'payments', null, null],
      ]);
      expect(await damaged()).toEqual([]);
    });

    it('ships what a gateway left that had metadata among the columns', async () => {
      const first = begin();
      const metadata = '{"a":"Grüezi 🚀"}';
      const done = await first.complete({ metadata });
      const cut = await first.open({ metadata });
      const bare = await first.complete();
      first.die();
      const path = join(directory, '000000000001.seg');
      await writeFile(path, asFormerly(await readFile(path), BEFORE_PAYLOADS));
      ship(begin());
      await stored(3);
      expect(
        (await rows()).map((row) => [row.id, row.status, row.metadata, row.request, row.dispatched_ms]),
      ).toEqual([
        [done, 'ok', metadata, REQUEST.toString(), null],
        [cut.id, 'interrupted', metadata, REQUEST.toString(), null],
        [bare, 'ok', null, REQUEST.toString(), null],
      ]);
      expect(await damaged()).toEqual([]);
    });

    it('keeps the file over restarts, without reading it again or giving its number to another', async () => {
      const first = begin();
      await first.complete();
      first.die();
      await damage('000000000001.seg', 30, [0]);
      const second = ship(begin());
      await eventually(async () => (await damaged()).length === 1);
      await second.stop();
      running.length = 0;
      const content = await readFile(join(directory, '000000000001.seg.damaged'));
      const third = ship(begin());
      await third.complete();
      await stored(1);
      expect(await segments()).toEqual(['000000000002.seg']);
      expect(await readFile(join(directory, '000000000001.seg.damaged'))).toEqual(content);
      expect(await damages(third)).toBe(0);
    });

    it('keeps a closing whose opening is lost in an earlier file, and uses one that is intact there', async () => {
      const first = begin({ segmentBytes: 2_500 });
      const lost = await first.open();
      const kept = await first.open();
      const filler = await first.complete({}, {}, Buffer.alloc(2_000, 97)); // fills the first file
      first.spool.close(lost, closing(), undefined, REQUEST);
      await lost.closed;
      first.spool.close(kept, closing(), undefined, REQUEST);
      await kept.closed;
      first.die();
      expect(await segments()).toEqual(['000000000001.seg', '000000000002.seg']);
      await damage('000000000001.seg', 30, [0]);
      const copy = await readFile(join(directory, '000000000002.seg'));
      const second = ship(begin());
      await stored(2);
      await eventually(async () => (await damaged()).length === 2);
      expect(await segments()).toEqual([]);
      await second.stop();
      running.length = 0;
      // As if it had died before the second file was set aside.
      await rm(join(directory, '000000000002.seg.damaged'));
      await writeFile(join(directory, '000000000002.seg'), copy);
      await database.client.query('TRUNCATE inference, inference_payload');
      ship(begin());
      await stored(1); // the filler ended in the first file
      expect((await rows()).map((row) => [row.id, row.status])).toEqual([[kept.id, 'ok']]);
      expect(filler).not.toBe(kept.id);
      await eventually(async () => (await damaged()).length === 2);
    });

    it('ships what is intact when the reading falls behind the writing, and sets the file aside at the next start', async () => {
      const first = begin({ memoryBytes: 1 });
      const ids = [await first.complete()]; // in memory
      const hit = await first.open();
      const start = await sizeOf('000000000001.seg');
      first.spool.close(hit, closing(), undefined, REQUEST);
      await hit.closed;
      ids.push(await first.complete());
      await damage('000000000001.seg', start + 30, [0]);
      ship(first);
      await stored(2);
      expect((await rows()).map((row) => row.id)).toEqual(ids);
      await first.stop();
      running.length = 0;
      expect(await damages(first)).toBe(1);
      expect(await segments()).toEqual(['000000000001.seg']);
      ship(begin());
      await stored(3);
      expect((await rows()).filter((row) => row.status === 'interrupted').map((row) => row.id)).toEqual([
        hit.id,
      ]);
      await eventually(async () => (await damaged()).length === 1);
    });
  });

  it('puts a row the database refuses into quarantine, and stores all others', async () => {
    const process = begin();
    const good: string[] = [];
    for (let n = 0; n < 40; n++) good.push(await process.complete());
    const refused = await process.complete({ assignment: 'nonsense' as any });
    const tooLarge = await process.complete({}, { attempts: 70_000 });
    for (let n = 0; n < 40; n++) good.push(await process.complete());
    ship(process);
    await stored(80);
    expect((await rows()).map((row) => row.id)).toEqual(good);
    await eventually(async () => (await process.metrics.quarantined.get()).values[0]!.value === 2);
    const lines = (await readFile(join(directory, 'quarantine.jsonl'), 'utf8'))
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(new Set(lines.map((line) => line.id))).toEqual(new Set([refused, tooLarge]));
    expect(lines[0]).toMatchObject({
      error: expect.stringMatching(/assignment_check|out of range/),
      request: REQUEST.toString(),
    });
  });

  it('stores text PostgreSQL cannot hold with the replacement character', async () => {
    const process = ship(begin());
    await process.complete({}, { errorMessage: 'a\0b' }, Buffer.from([0x61, 0x00, 0xff, 0x62]));
    await stored(1);
    expect((await rows())[0]).toMatchObject({ error_message: 'a\uFFFDb', response: 'a\uFFFD\uFFFDb' });
  });

  it('keeps rows on the disk, not in memory, while the database is away, and loses none', async () => {
    const { proxy, url } = await TcpProxy.before(database.url);
    proxy.cut();
    const process = ship(begin({ memoryBytes: 20_000, segmentBytes: 50_000 }, url));
    const ids: string[] = [];
    for (let n = 0; n < 300; n++) ids.push(await process.complete({}, {}, Buffer.alloc(1000, 120)));
    expect(process.spool.backlog.waiting).toBeLessThan(20);
    expect((await segments()).length).toBeGreaterThan(5);
    proxy.mend();
    for (let n = 0; n < 100; n++) ids.push(await process.complete());
    await stored(400);
    expect((await rows()).map((row) => row.id)).toEqual(ids);
    await eventually(() => !process.spool.backlog.isOnDisk);
    ids.push(await process.complete());
    await stored(401);
    await eventually(async () => (await segments()).length === 1); // the rest is stored and gone
    await eventually(async () => (await process.metrics.pending.get()).values[0]!.value === 0);
    await proxy.close();
  });

  it('keeps a segment while one of its inferences is still open', async () => {
    const process = ship(begin({ segmentBytes: 4_000 }));
    const slow = await process.open();
    for (let n = 0; n < 40; n++) await process.complete();
    await stored(40);
    await eventually(async () => (await segments()).length === 2);
    expect((await segments())[0]).toBe('000000000001.seg');
    process.spool.close(slow, closing(), undefined, undefined);
    await stored(41);
    await eventually(async () => (await segments()).length === 1);
  });

  it('refuses new inferences when it is full, still closes those it has, and goes on when there is room', async () => {
    const { proxy, url } = await TcpProxy.before(database.url);
    proxy.cut();
    const process = ship(begin({ maxBytes: 5_000, segmentBytes: 1_000 }, url));
    const held = await process.open();
    await expect(async () => {
      for (let n = 0; n < 100; n++) await process.complete();
    }).rejects.toThrow(SpoolFullError);
    process.spool.close(held, closing(), undefined, undefined);
    expect(await held.closed).toBeUndefined();
    proxy.mend();
    await eventually(async () =>
      process.complete().then(
        () => true,
        () => false,
      ),
    );
    await proxy.close();
  });

  it('takes inferences again after one that was larger than the limit is stored', async () => {
    const process = ship(begin({ maxBytes: 5_000, segmentBytes: 100_000 }));
    const large = await process.complete({}, {}, Buffer.alloc(20_000, 97));
    await expect(process.open()).rejects.toThrow(SpoolFullError);
    await stored(1);
    await eventually(async () => (await process.metrics.pending.get()).values[0]!.value === 0);
    const next = await process.complete();
    await stored(2);
    expect((await rows()).map((row) => row.id)).toEqual([large, next]);
  });

  it('answers without a row and counts it when it is full and the policy is drop', async () => {
    const process = begin({ maxBytes: 5_000, whenFull: 'drop' });
    for (let n = 0; n < 50; n++) await process.complete();
    const dropped = (await process.metrics.dropped.get()).values[0]!.value;
    expect(dropped).toBeGreaterThan(30);
    ship(process);
    await stored(50 - dropped);
  });

  describe.runIf(canMount())('on a full disk (tmpfs; only root on Linux may mount one)', () => {
    let disk: string;
    beforeEach(() => {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', directory]);
      disk = directory;
    });
    afterEach(async () => {
      for (const process of running.splice(0)) await process.stop();
      execFileSync('umount', ['--lazy', disk]); // also when a test failed and left files open
    });

    /** Larger than what is left of the last block. */
    const large = 'x'.repeat(10_000);
    const ballast = () => join(directory, 'ballast');
    const fillDisk = () => {
      const fd = openSync(ballast(), 'w');
      try {
        for (;;) writeSync(fd, Buffer.alloc(4096));
      } catch (error) {
        expect(error).toMatchObject({ code: 'ENOSPC' });
      } finally {
        closeSync(fd);
      }
    };

    it.each([
      ['ships what it has in memory', false, 'error'],
      ['ships after a restart what was written', true, 'interrupted'],
    ])(
      'refuses, says so to both records, goes on when there is room, and %s',
      async (_, restarts, status) => {
        const process = begin();
        const held = await process.open();
        fillDisk();
        await expect(process.open({ metadata: large })).rejects.toMatchObject({ code: 'ENOSPC' });
        process.spool.close(held, closing(), undefined, Buffer.from(large));
        expect(await held.closed).toMatchObject({ code: 'ENOSPC' });
        await rm(ballast());
        const after = await process.complete({}, {}, Buffer.from(large));
        if (restarts) process.die();
        ship(restarts ? begin() : process);
        await stored(2);
        expect((await rows()).map((row) => [row.id, row.status, row.response?.length])).toEqual([
          [held.id, status, restarts ? undefined : large.length],
          [after, 'ok', large.length],
        ]);
        expect(logged.filter((line) => /damaged|did not finish/.test(line.msg))).toEqual([]);
      },
    );

    it('makes room for new ones once what filled the disk is stored', async () => {
      const process = begin();
      let completed = 0;
      const fill = async () => {
        for (;;) {
          await process.complete({}, {}, Buffer.from(large));
          completed++;
        }
      };
      await expect(fill()).rejects.toMatchObject({ code: 'ENOSPC' });
      ship(process);
      await stored(completed + 1); // the last one's closing went there from memory
      await eventually(() => process.metrics.pendingRows === 0);
      await process.complete({}, {}, Buffer.from(large));
      await stored(completed + 2);
    });

    it('does not fill the log too', async () => {
      const process = begin();
      await process.complete();
      fillDisk();
      for (let i = 0; i < 20; i++)
        await expect(process.open({ metadata: large })).rejects.toMatchObject({ code: 'ENOSPC' });
      expect(logged.filter((line) => line.level >= 50)).toHaveLength(1);
      ship(process);
    });

    it('answers without a row and counts it when the policy is drop', async () => {
      const process = begin({ whenFull: 'drop' });
      const before = await process.complete();
      fillDisk();
      await process.complete({ metadata: large });
      await process.complete({ metadata: large });
      expect((await process.metrics.dropped.get()).values[0]!.value).toBe(2);
      await rm(ballast());
      const after = await process.complete({ metadata: JSON.stringify(large) });
      ship(process);
      await stored(2);
      expect((await rows()).map((row) => row.id)).toEqual([before, after]);
    });
  });

  it.each([
    ['both', 'inference, inference_payload'],
    ['that of the rows', 'inference'],
    ['that of the payloads', 'inference_payload'],
  ])('stores rows of a day whose partitions were dropped meanwhile: %s', async (_, tables) => {
    const process = ship(begin());
    const startedAtMs = Date.parse('2026-03-03T12:00:00Z');
    const first = { id: v7({ msecs: startedAtMs }), startedAtMs };
    await process.complete(first);
    await stored(1);
    const partitions = tables.replaceAll(/inference(_payload)?/g, '$&_20260303');
    await database.client.query(`DROP TABLE ${partitions}`);
    const id = await process.complete({ startedAtMs, metadata: '{"late":true}' });
    await eventually(async () => (await rows()).some((row) => row.id === id));
    expect((await rows()).find((row) => row.id === id)).toMatchObject({
      metadata: '{"late":true}',
      request: REQUEST.toString(),
      response: '{"choices":[]}',
    });
    // One that was stored before, together with one that was not.
    await database.client.query(`DROP TABLE ${partitions}`);
    await process.complete(first);
    const last = await process.complete({ startedAtMs });
    await eventually(async () => (await rows()).some((row) => row.id === last && row.request !== null));
    expect(await readdir(directory)).not.toContain('quarantine.jsonl');
  });

  it('stores metadata and payload both or neither', async () => {
    await database.client.query(
      `ALTER TABLE inference_payload ADD CONSTRAINT no_nonsense CHECK (response <> 'nonsense')`,
    );
    const process = begin();
    const good = [await process.complete(), await process.complete()];
    const refused = await process.complete({}, {}, Buffer.from('nonsense'));
    good.push(await process.complete());
    ship(process);
    await stored(3);
    const quarantine = await readFile(join(directory, 'quarantine.jsonl'), 'utf8');
    expect(JSON.parse(quarantine)).toMatchObject({ id: refused, response: 'nonsense', chain: 'c' });
    await database.client.query('ALTER TABLE inference_payload DROP CONSTRAINT no_nonsense');
    for (const table of ['inference', 'inference_payload'])
      expect((await database.client.query(`SELECT id FROM ${table} ORDER BY id`)).rows).toEqual(
        good.toSorted().map((id) => ({ id })),
      );
  });

  it('stores the rows of gateways whose clocks are hours apart once each, whatever was shipped before', async () => {
    const hourMs = 3_600_000;
    const ids: string[] = [];
    for (const [n, skewMs] of [-26 * hourMs, 0, 5 * hourMs].entries()) {
      const own = join(directory, String(n));
      const left = join(directory, `${n}-again`);
      const first = new Process(own, database.url);
      const now = Date.now() + skewMs;
      for (let i = 0; i < 20; i++)
        ids.push(await first.complete({ id: v7({ msecs: now + i }), startedAtMs: now + i }));
      first.die();
      await cp(own, left, { recursive: true });
      ship(new Process(own, database.url));
      await stored(ids.length);
      // As after a crash between storing and forgetting.
      ship(new Process(left, database.url));
      await eventually(async () => !(await readdir(left)).includes('000000000001.seg'));
      expect(await readdir(left)).not.toContain('quarantine.jsonl');
    }
    expect((await rows()).map((row) => row.id)).toEqual(ids.toSorted());
  });

  it.each([
    [7_200_000, 7_200, /7200\.\d s ahead of/],
    [-90_000, -90, /90\.\d s behind/],
    [0, 0, undefined],
  ])("says how far its clock is off the database's: %i ms", async (offMs, seconds, warning) => {
    const metrics = new SpoolMetrics(new Registry());
    const clock = new ClockSkew(metrics.clockSkew, logger, () => Date.now() + offMs);
    await clock.check(database.client);
    expect((await metrics.clockSkew.get()).values[0]!.value).toBeCloseTo(seconds, 0);
    const said = logged.filter((line) => line.msg.includes('clock')).map((line) => line.msg);
    expect(said).toEqual(warning ? [expect.stringMatching(warning)] : []);
  });

  it.each(['always', 'interval'] as const)('works with fsync %s', async (fsync) => {
    const process = ship(begin({ fsync, segmentBytes: 2_000 }));
    await Promise.all(Array.from({ length: 50 }, () => process.complete()));
    await sleep(150);
    await stored(50);
  });

  it('stores rows of many days, and makes their partitions', async () => {
    const process = ship(begin());
    for (const day of ['2020-02-29', '2031-12-31', '2026-01-01'])
      await process.complete({ startedAtMs: Date.parse(`${day}T23:59:59.999Z`) });
    await stored(3);
    expect((await rows()).map((row) => row.started_at.toISOString())).toContain('2020-02-29T23:59:59.999Z');
  });
});

function canMount(): boolean {
  const directory = mkdtempSync(join(tmpdir(), 'catena-mount-'));
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', directory], { stdio: 'ignore' });
    execFileSync('umount', [directory]);
    return true;
  } catch {
    return false; // not Linux, or not root; test/crash.spec.ts limits the size of a file instead
  } finally {
    rmdirSync(directory);
  }
}
