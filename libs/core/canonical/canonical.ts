import { createHash } from 'node:crypto';
import canonicalizeValue from 'canonicalize';

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** A value in canonical form: the exact text that is stored, and the digest of that text. */
export interface Canonical {
  /** RFC 8785 (JSON Canonicalization Scheme) text. */
  readonly text: string;
  /** `sha256:` and 64 lower-case hexadecimal digits over the UTF-8 bytes of `text`. */
  readonly digest: string;
}

/**
 * Canonicalises a JSON value by RFC 8785 and digests the result with SHA-256.
 * @throws TypeError when the value has no canonical form (NaN, Infinity, a lone surrogate).
 */
export function canonical(value: Json): Canonical {
  const text = canonicalizeValue(value);
  if (text === undefined) throw new TypeError('The value has no JSON form.');
  if (!text.isWellFormed())
    throw new TypeError('The value contains a lone surrogate, which has no UTF-8 form.');
  return { text, digest: digestOf(text) };
}

/** SHA-256 over the UTF-8 bytes of a text, as `sha256:<hex>`. */
export function digestOf(text: string): string {
  return `sha256:${createHash('sha256').update(text, 'utf8').digest('hex')}`;
}
