import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { cacheKey, type KeyParts } from './cache-key.js';

const PARTS: KeyParts = {
  workspaceId: 'w',
  endpointId: 'e',
  ttlSeconds: 60,
  chainDigest: 'sha256:1',
  dataClass: 'internal',
  protocol: '/v1/chat/completions',
};
const keyOf = (request: unknown, parts: Partial<KeyParts> = {}) =>
  cacheKey(Buffer.from(typeof request === 'string' ? request : JSON.stringify(request)), {
    ...PARTS,
    ...parts,
  });

describe('the key of a request', () => {
  it('is the same for two requests when, and only when, they are the same but for the order of fields', () => {
    const request = fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 3 }), { maxKeys: 4 });
    fc.assert(
      fc.property(request, request, (a, b) => {
        const [one, other] = [a, b].map((given) => ({ ...given, stream: 0, stream_options: 0 }));
        const reversed = Object.fromEntries(Object.entries(a).toReversed());
        expect(keyOf(reversed)).toBe(keyOf(a));
        const plain = (value: unknown) => JSON.parse(JSON.stringify(value));
        const isSame = (() => {
          try {
            expect(plain(one)).toEqual(plain(other));
            return true;
          } catch {
            return false;
          }
        })();
        if (keyOf(a) !== undefined && keyOf(b) !== undefined) expect(keyOf(a) === keyOf(b)).toBe(isSame);
      }),
      { numRuns: 500 },
    );
  });

  it('does not depend on how the answer is to be sent', () => {
    const request = { model: 'm', messages: [] };
    expect(keyOf({ ...request, stream: true, stream_options: { include_usage: true } })).toBe(keyOf(request));
  });

  it('is another for each workspace, endpoint, time to live, chain version, data class and protocol', () => {
    const request = { model: 'm' };
    const others: Partial<KeyParts>[] = [
      { workspaceId: 'x' },
      { endpointId: 'x' },
      { ttlSeconds: 61 },
      { chainDigest: 'sha256:2' },
      { dataClass: 'public' },
      { protocol: '/v1/messages' },
    ];
    const keys = [keyOf(request), ...others.map((parts) => keyOf(request, parts))];
    expect(new Set(keys).size).toBe(keys.length);
    // Nothing of one part can be taken for the beginning of the next.
    expect(keyOf(request, { workspaceId: 'we', endpointId: '' })).not.toBe(keyOf(request));
  });

  it('is none for what has no canonical form, and for what is very long', () => {
    expect(keyOf('{"temperature":1e999}')).toBeUndefined();
    expect(keyOf('{"user":"\\ud800"}')).toBeUndefined();
    expect(keyOf({ messages: 'x'.repeat(256 * 1024) })).toBeUndefined();
  });
});
