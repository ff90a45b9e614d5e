import { hash, randomBytes } from 'node:crypto';

/** A key as it is made: the only time that its text is there. */
export interface NewApiKey {
  /** What the caller sends: the prefix, `_`, and 256 random bits in base64url. */
  readonly text: string;
  /** Tells keys apart where they are listed. */
  readonly prefix: string;
  readonly digest: Buffer;
}

export function newApiKey(): NewApiKey {
  const prefix = `ck_${randomBytes(4).toString('hex')}`;
  const text = `${prefix}_${randomBytes(32).toString('base64url')}`;
  return { text, prefix, digest: Buffer.from(apiKeyDigest(text), 'base64') };
}

/**
 * SHA-256 of a key's text, in base64: what is kept and looked up. A slow hash is for secrets that can be guessed; and
 * a look-up by digest tells by its time nothing of use about the text.
 */
export function apiKeyDigest(text: string): string {
  return hash('sha256', text, 'base64');
}
