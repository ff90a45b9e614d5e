import fc from 'fast-check';
import { v7 } from 'uuid';
import { describe, expect, it } from 'vitest';
import { closingMeta, openingColumns, servedColumns, storableBody } from './columns.js';
import type { ClosingMeta, OpeningMeta } from './record.js';
import { inferenceRow, payloadRow } from './encoded-rows.js';
import { decodeRow } from './row-decoder.js';
import { RowSlabs, type EncodedRow } from './row-slabs.js';

const SERVED = {
  workspaceId: v7(),
  endpoint: 'e',
  splitRevision: 1,
  arm: 'a',
  chain: 'c',
  chainVersion: 7,
  chainDigest: `sha256:${'0'.repeat(64)}`,
};

const opening = (unit: string | null): OpeningMeta => ({
  id: v7(),
  startedAtMs: Date.UTC(2026, 10, 22, 16, 45, 41, 123),
  served: servedColumns(SERVED),
  unit,
  bucket: 9999,
  sticky: true,
  assignment: 'split',
  streamed: false,
  dataClass: 'internal',
  apiKey: null,
  team: null,
  shadowOf: null,
  cacheHit: null,
  clientRequestId: null,
});

const closing = (fields: Partial<ClosingMeta> = {}): ClosingMeta => ({
  status: 'ok',
  errorCode: null,
  errorMessage: null,
  modelEndpoint: 'gpu',
  model: 'm',
  replica: 'http://r',
  attempts: 1,
  finishReason: 'stop',
  schemaValid: null,
  inputTokens: 1,
  outputTokens: 2,
  cachedInputTokens: 1,
  cacheWriteInputTokens: null,
  reasoningTokens: 2,
  contractOutcome: null,
  contractRungs: null,
  costMicroUsd: -5_000_000_000,
  latencyMs: 12.5,
  ttftMs: null,
  dispatchedMs: 1.5,
  modelCalls: null,
  ...fields,
});

interface Encoded {
  readonly inference: EncodedRow;
  readonly payload: EncodedRow;
}

function add(slabs: RowSlabs, begun: OpeningMeta, ended: ClosingMeta, request: string): Encoded {
  const opened = openingColumns(begun);
  const closed = closingMeta(opened, { segment: 1, offset: 0 }, ended);
  const bodies = {
    metadata: undefined,
    request: storableBody(Buffer.from(request)),
    response: undefined,
  };
  return { inference: inferenceRow(slabs, opened, closed), payload: payloadRow(slabs, opened, bodies) };
}

/** As PostgreSQL stores it. */
const storable = (text: string) => Buffer.from(text).toString().replaceAll('\0', '\uFFFD');

describe('a row for COPY', () => {
  it('stays as it was while others come and go and slabs are used again', () => {
    const row = fc.record({
      // Short and long, ASCII and not: a text is written in one of two ways.
      unit: fc.option(fc.oneof(fc.string({ unit: 'binary', maxLength: 100 }), fc.string({ maxLength: 100 }))),
      // Some rows are larger than a slab, so that all ways of finding room are taken.
      bytes: fc.oneof(
        { weight: 9, arbitrary: fc.nat(20_000) },
        { weight: 1, arbitrary: fc.constantFrom(130_000, 300_000) },
      ),
      // Mostly none, so that many wait at once; then the oldest.
      released: fc.constantFrom(0, 0, 0, 1, 2),
    });
    fc.assert(
      fc.property(fc.array(row, { minLength: 20, maxLength: 40 }), (rows) => {
        const slabs = new RowSlabs();
        const waiting: { encoded: Encoded; expected: object }[] = [];
        for (const { unit, bytes, released } of rows) {
          const request = 'r'.repeat(bytes);
          const begun = opening(unit);
          const { startedAtMs, served: _, ...others } = begun;
          waiting.push({
            encoded: add(slabs, begun, closing(), request),
            expected: {
              ...SERVED,
              ...others,
              startedAt: new Date(startedAtMs).toISOString(),
              ...closing(),
              unit: unit === null ? null : storable(unit),
              metadata: null,
              request,
              response: null,
            },
          });
          for (const { encoded } of waiting.splice(0, released)) {
            slabs.release(encoded.inference);
            slabs.release(encoded.payload);
          }
          for (const { encoded, expected } of waiting) expect(decodeRow(encoded)).toEqual(expected);
        }
      }),
      { numRuns: 30 },
    );
  });

  it('holds every number a column can, and carries one it cannot to the quarantine file', () => {
    const whole = fc.oneof(fc.maxSafeInteger(), fc.integer(), fc.double({ noNaN: true }));
    fc.assert(
      fc.property(whole, whole, fc.double(), (attempts, costMicroUsd, latencyMs) => {
        const numbers = { attempts: attempts + 0, costMicroUsd: costMicroUsd + 0, latencyMs };
        const row = decodeRow(add(new RowSlabs(), opening(null), closing(numbers), ''));
        expect(row).toMatchObject(numbers);
      }),
    );
  });
});
