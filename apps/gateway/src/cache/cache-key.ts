import { createHash } from 'node:crypto';
import { canonical, type Json } from '#libs/core/canonical/canonical.js';

/** Longest request that is looked up, in bytes: the key of a longer one takes the event loop too long. */
const MAX_REQUEST_BYTES = 256 * 1024;

/** What an answer depends on, beside the request. */
export interface KeyParts {
  readonly workspaceId: string;
  readonly endpointId: string;
  readonly ttlSeconds: number;
  readonly chainDigest: string;
  readonly dataClass: string;
  /** Path of the protocol. */
  readonly protocol: string;
}

/**
 * What a request is known by: all of it as the caller sent it, whatever the order of its fields, but for how the answer
 * is to be sent.
 * @param body JSON text of an object, checked before.
 * @returns undefined for a request that has no canonical form, or a long one.
 */
export function cacheKey(body: Buffer, parts: KeyParts): string | undefined {
  if (body.length > MAX_REQUEST_BYTES) return undefined;
  const {
    stream: _,
    stream_options: __,
    ...request
  } = JSON.parse(body.toString('utf8')) as Record<string, Json>;
  try {
    const { workspaceId, endpointId, ttlSeconds, chainDigest, dataClass, protocol } = parts;
    const whole = [workspaceId, endpointId, ttlSeconds, chainDigest, dataClass, protocol, request];
    return createHash('sha256').update(canonical(whole).text).digest('base64');
  } catch {
    return undefined; // it holds 1e999, or half of a surrogate pair
  }
}
