import { createHash } from 'node:crypto';
import type { DataClass } from './clearance.js';

/**
 * What inference rows keep of requests, answers and metadata: all of it, only what `digested` says of it, or that of
 * requests that carry restricted data and all of the others.
 */
export const PAYLOADS = ['full', 'hash', 'hash-restricted'] as const;
export type Payloads = (typeof PAYLOADS)[number];

/** Whether the row of a request keeps its payloads as they are. */
export function keepsPayloads(payloads: Payloads, dataClass: DataClass): boolean {
  return payloads === 'full' || (payloads === 'hash-restricted' && dataClass !== 'restricted');
}

/** `{"digest":"sha256:…","sizeBytes":…}` of bytes: tells equal ones apart from others, without a word of them. */
export function digested(bytes: Buffer): string {
  const digest = createHash('sha256').update(bytes).digest('hex');
  return `{"digest":"sha256:${digest}","sizeBytes":${bytes.length}}`;
}
