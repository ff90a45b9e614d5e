import fc from 'fast-check';
import { v7 } from 'uuid';
import { describe, expect, it } from 'vitest';
import type { ClosingMeta, OpeningMeta } from './record.js';
import { decodeRow } from './row-decoder.js';
import { RowEncoder, type EncodedRow } from './row-encoder.js';

const opening = (unit: string | null): OpeningMeta => ({
  id: v7(),
  startedAt: '2026-11-22T16:45:41.123Z',
  workspaceId: v7(),
  endpoint: 'e',
  splitRevision: 1,
  arm: 'a',
  chain: 'c',
  chainVersion: 7,
  chainDigest: `sha256:${'0'.repeat(64)}`,
  unit,
  bucket: 9999,
  sticky: true,
  assignment: 'split',
  streamed: false,
  metadata: null,
});

const closing = (attempts: number): ClosingMeta => ({
  status: 'ok',
  errorCode: null,
  errorMessage: null,
  modelEndpoint: 'gpu',
  model: 'm',
  replica: 'http://r',
  attempts,
  finishReason: 'stop',
  schemaValid: null,
  inputTokens: 1,
  outputTokens: 2,
  costMicroUsd: -5_000_000_000,
  latencyMs: 12.5,
  ttftMs: null,
});

/** As PostgreSQL stores it. */
const storable = (text: string) => Buffer.from(text).toString().replaceAll('\0', '\uFFFD');

describe('RowEncoder', () => {
  it('keeps every waiting row as it was, while others come and go and slabs are used again', () => {
    const row = fc.record({
      unit: fc.option(fc.string({ unit: 'binary', maxLength: 60 })),
      // Some rows are larger than a slab, so that all ways of finding room are taken.
      bytes: fc.oneof(
        { weight: 9, arbitrary: fc.nat(20_000) },
        { weight: 1, arbitrary: fc.constantFrom(130_000, 300_000) },
      ),
      fits: fc.constantFrom(true, true, true, false),
      // Mostly none, so that many wait at once; then the oldest.
      released: fc.constantFrom(0, 0, 0, 1, 2),
    });
    fc.assert(
      fc.property(fc.array(row, { minLength: 20, maxLength: 40 }), (rows) => {
        const encoder = new RowEncoder();
        const waiting: { encoded: EncodedRow; expected: object }[] = [];
        for (const { unit, bytes, fits, released } of rows) {
          const request = 'r'.repeat(bytes);
          const begun = opening(unit);
          const encode = () =>
            encoder.encode(begun, closing(fits ? 1 : 70_000), Buffer.from(request), undefined);
          if (fits)
            waiting.push({
              encoded: encode(),
              expected: {
                ...begun,
                ...closing(1),
                unit: unit === null ? null : storable(unit),
                request,
                response: null,
              },
            });
          else expect(encode).toThrow(RangeError);
          for (const { encoded } of waiting.splice(0, released)) encoder.release(encoded);
          for (const { encoded, expected } of waiting) expect(decodeRow(encoded)).toEqual(expected);
        }
      }),
      { numRuns: 50 },
    );
  });
});
