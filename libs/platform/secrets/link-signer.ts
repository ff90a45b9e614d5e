import { createHmac, hkdfSync, timingSafeEqual } from 'node:crypto';
import { encryptionKeys } from './encryption-keys.js';

/** Purpose of the tokens in feedback links. */
export const FEEDBACK_LINKS = 'feedback link';

/** A token's content, or why it is not to be believed. */
export type Verified =
  | { readonly payload: string; readonly refusal?: undefined }
  | { readonly payload?: undefined; readonly refusal: 'forged' | 'unknown key' };

/**
 * Texts that only holders of the encryption keys can have made: `keyId.payload.signature`, the latter two in base64url.
 * HMAC-SHA256 (RFC 2104) with keys derived for this one purpose (HKDF, RFC 5869), so that no signature tells anything
 * about what the encryption keys seal. Anybody can read them.
 */
export class LinkSigner {
  private readonly keys: ReadonlyMap<string, Buffer>;
  private readonly signingKeyId: string;

  /**
   * @param setting as CATENA_ENCRYPTION_KEYS: the first signs, all verify.
   * @param purpose a token made for one is none for another.
   */
  constructor(setting: string, purpose: string) {
    const keys = [...encryptionKeys(setting)];
    this.signingKeyId = keys[0]![0];
    this.keys = new Map(
      keys.map(([id, key]) => [id, Buffer.from(hkdfSync('sha256', key, '', `catena ${purpose}`, 32))]),
    );
  }

  sign(payload: string): string {
    const signed = `${this.signingKeyId}.${Buffer.from(payload).toString('base64url')}`;
    return `${signed}.${mac(this.keys.get(this.signingKeyId)!, signed).toString('base64url')}`;
  }

  verify(token: string): Verified {
    const [keyId, payload, signature, ...rest] = token.split('.');
    if (keyId === undefined || payload === undefined || signature === undefined || rest.length > 0)
      return { refusal: 'forged' };
    const key = this.keys.get(keyId);
    if (!key) return { refusal: 'unknown key' };
    // Compared as texts: the same bytes have several spellings in base64url, and one link must be one text.
    const expected = Buffer.from(mac(key, `${keyId}.${payload}`).toString('base64url'));
    const given = Buffer.from(signature);
    const isGood = given.length === expected.length && timingSafeEqual(given, expected);
    return isGood ? { payload: Buffer.from(payload, 'base64url').toString() } : { refusal: 'forged' };
  }
}

function mac(key: Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest();
}
