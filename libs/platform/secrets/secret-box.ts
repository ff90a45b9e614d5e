import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { encryptionKeys } from './encryption-keys.js';

export interface SealedSecret {
  readonly keyId: string;
  /** 12-byte nonce, ciphertext, 16-byte tag, in this order. */
  readonly ciphertext: Buffer;
}

const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/**
 * Secrets at rest: AES-256-GCM (NIST SP 800-38D) with a random 96-bit nonce. `context` is bound as additional
 * data, so that a ciphertext copied to another row does not open.
 */
export class SecretBox {
  private readonly keys: ReadonlyMap<string, Buffer>;
  private readonly sealingKeyId: string;

  /** @param keys `id:base64,…` as in CATENA_ENCRYPTION_KEYS; the first seals, all open. */
  constructor(keys: string) {
    this.keys = encryptionKeys(keys);
    this.sealingKeyId = [...this.keys.keys()][0]!;
  }

  seal(secret: string, context: string): SealedSecret {
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv('aes-256-gcm', this.keys.get(this.sealingKeyId)!, nonce);
    cipher.setAAD(Buffer.from(context));
    const body = Buffer.concat([cipher.update(secret, 'utf8'), cipher.final()]);
    return { keyId: this.sealingKeyId, ciphertext: Buffer.concat([nonce, body, cipher.getAuthTag()]) };
  }

  /** @throws Error when the key is not configured or the ciphertext was altered. */
  open(sealed: SealedSecret, context: string): string {
    const key = this.keys.get(sealed.keyId);
    if (!key)
      throw new Error(
        `The credential was sealed with key "${sealed.keyId}", which CATENA_ENCRYPTION_KEYS does not hold.`,
      );
    const decipher = createDecipheriv('aes-256-gcm', key, sealed.ciphertext.subarray(0, NONCE_BYTES));
    decipher.setAAD(Buffer.from(context));
    decipher.setAuthTag(sealed.ciphertext.subarray(-TAG_BYTES));
    const body = sealed.ciphertext.subarray(NONCE_BYTES, -TAG_BYTES);
    return Buffer.concat([decipher.update(body), decipher.final()]).toString('utf8');
  }
}

/** Context under which the credential of a model endpoint is sealed: it opens in that endpoint's row only. */
export function credentialContext(modelEndpointId: string): string {
  return `model-endpoint:${modelEndpointId}`;
}
