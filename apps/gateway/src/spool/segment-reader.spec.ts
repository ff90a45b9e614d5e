import fc from 'fast-check';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ColumnWriter } from './column-writer.js';
import { CLOSING_HEAD_BYTES, RECORD_HEAD_BYTES, recordBytes, writeRecord } from './record.js';
import { SegmentReader, type Gap } from './segment-reader.js';

/** In hex, as records tell it. */
const idOf = (name: string) => Buffer.from(name.padEnd(16)).toString('hex');

/** The reader looks at nothing behind the id. */
function metaOf(name: string): Buffer {
  const columns = new ColumnWriter();
  columns.begin();
  columns.uuid(idOf(name));
  columns.rawUint32(1);
  columns.rawUint32(0);
  expect(columns.written()).toHaveLength(CLOSING_HEAD_BYTES);
  columns.text('{"zürich":🚀}');
  return columns.written();
}

function openingOf(name: string, request: Buffer): Buffer {
  const into = Buffer.alloc(recordBytes(metaOf(name), request, undefined));
  writeRecord(into, 0, 'opening', metaOf(name), request, undefined);
  return into;
}

function closingOf(name: string, response: Buffer): Buffer {
  const into = Buffer.alloc(recordBytes(metaOf(name), undefined, response));
  writeRecord(into, 0, 'closing', metaOf(name), undefined, response);
  return into;
}

describe('reading a segment', () => {
  let directory: string;
  beforeAll(async () => (directory = await mkdtemp(join(tmpdir(), 'catena-segment-'))));
  afterAll(() => rm(directory, { recursive: true, force: true }));

  /** Ids of the records that can be read, and what lies between them. */
  async function read(bytes: Buffer): Promise<{ ids: string[]; gaps: Gap[] }> {
    const path = join(directory, 'segment');
    await writeFile(path, bytes);
    const reader = await SegmentReader.open(path, 0);
    const ids: string[] = [];
    const gaps: Gap[] = [];
    try {
      while (reader.offset < bytes.length) {
        const record = await reader.next(bytes.length);
        if (record) ids.push(Buffer.from(record.id, 'hex').toString().trim());
        else gaps.push(await reader.skipGap(bytes.length));
      }
    } finally {
      await reader.close();
    }
    return { ids, gaps };
  }

  const records = fc
    .array(fc.tuple(fc.boolean(), fc.uint8Array({ maxLength: 300 })), { minLength: 2, maxLength: 12 })
    .map((list) =>
      list.map(([isOpening, body], n) =>
        isOpening ? openingOf(`r${n}`, Buffer.from(body)) : closingOf(`r${n}`, Buffer.from(body)),
      ),
    );

  it('finds every record that was not touched, whatever has happened to the bytes of the others', async () => {
    await fc.assert(
      fc.asyncProperty(
        records,
        fc.array(fc.tuple(fc.nat(), fc.uint8Array({ minLength: 1, maxLength: 40 })), {
          minLength: 1,
          maxLength: 3,
        }),
        async (parts, damages) => {
          const whole = Buffer.concat(parts);
          const bytes = Buffer.from(whole);
          for (const [at, garbage] of damages)
            bytes.set(garbage.slice(0, bytes.length - (at % bytes.length)), at % bytes.length);
          let start = 0;
          const intact: string[] = [];
          for (const [n, part] of parts.entries()) {
            if (bytes.subarray(start, start + part.length).equals(part)) intact.push(`r${n}`);
            start += part.length;
          }
          expect((await read(bytes)).ids).toEqual(intact);
        },
      ),
      { numRuns: 300 },
    );
  });

  it('tells a torn end from damage: nothing intact follows, and the record is not whole', async () => {
    await fc.assert(
      fc.asyncProperty(records, fc.nat(), async (parts, cut) => {
        const last = parts.at(-1)!;
        const bytes = Buffer.concat(parts);
        const torn = 1 + (cut % (last.length - 1));
        const { ids, gaps } = await read(bytes.subarray(0, bytes.length - last.length + torn));
        expect(ids).toEqual(parts.slice(0, -1).map((_, n) => `r${n}`));
        expect(gaps).toEqual([{ kind: 'torn', bytes: torn }]);
      }),
      { numRuns: 100 },
    );
  });

  it('takes zeros that a power cut left at the end for a torn end', async () => {
    const { ids, gaps } = await read(
      Buffer.concat([openingOf('a', Buffer.from('{}')), Buffer.alloc(100_000)]),
    );
    expect(ids).toEqual(['a']);
    expect(gaps).toEqual([{ kind: 'torn', bytes: 100_000 }]);
  });

  it('calls a whole last record with changed bytes damaged, for no kill leaves one', async () => {
    const last = closingOf('b', Buffer.from('{"choices":[]}'));
    last[last.length - 3]! ^= 1;
    const { ids, gaps } = await read(Buffer.concat([openingOf('a', Buffer.from('{}')), last]));
    expect(ids).toEqual(['a']);
    expect(gaps).toEqual([{ kind: 'damaged', bytes: last.length }]);
  });

  it('finds the next record behind megabytes of damage', async () => {
    const large = closingOf('large', Buffer.alloc(5_000_000, '{"a":1}'));
    large[5]! ^= 1; // its length: where the next one begins is not known
    large[6]! ^= 0xff;
    const { ids, gaps } = await read(
      Buffer.concat([openingOf('a', Buffer.from('{}')), large, openingOf('z', Buffer.alloc(2_000_000))]),
    );
    expect(ids).toEqual(['a', 'z']);
    expect(gaps).toEqual([{ kind: 'damaged', bytes: large.length }]);
  });

  it('gives up a search that a body full of false headers would make endless', async () => {
    const head = openingOf('x', Buffer.alloc(1));
    const size = 400_000; // 4 GB of checksums, all together
    const body = Buffer.alloc(size);
    for (let at = 0; at + 24 < size; at += 24) {
      head.copy(body, at, 0, RECORD_HEAD_BYTES);
      body.writeUInt32LE(size - at - 40, at + 9); // each says it reaches almost to the end
    }
    const { ids, gaps } = await read(Buffer.concat([body, openingOf('z', Buffer.alloc(5))]));
    expect(ids).toEqual([]); // it stands behind all of them
    expect(gaps).toEqual([{ kind: 'damaged', bytes: expect.any(Number) }]);
  });
});
