import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { SecretBox } from './secret-box.js';

const key = (id: string) => `${id}:${randomBytes(32).toString('base64')}`;

describe('a sealed secret', () => {
  const first = key('k1');
  const box = new SecretBox(first);

  it('opens with its key and context, and is different every time', () => {
    const sealed = box.seal('sk-geheim', 'model-endpoint:1');
    expect(sealed.keyId).toBe('k1');
    expect(box.open(sealed, 'model-endpoint:1')).toBe('sk-geheim');
    expect(box.seal('sk-geheim', 'model-endpoint:1').ciphertext.equals(sealed.ciphertext)).toBe(false);
    expect(sealed.ciphertext.includes('sk-geheim')).toBe(false);
  });

  it('does not open in another row, nor after a single flipped bit', () => {
    const sealed = box.seal('s', 'model-endpoint:1');
    expect(() => box.open(sealed, 'model-endpoint:2')).toThrow();
    for (let index = 0; index < sealed.ciphertext.length; index++) {
      const flipped = Buffer.from(sealed.ciphertext);
      flipped[index]! ^= 1;
      expect(() => box.open({ keyId: 'k1', ciphertext: flipped }, 'model-endpoint:1')).toThrow();
    }
  });

  it('still opens after rotation, while new ones use the new key', () => {
    const sealed = box.seal('s', 'c');
    const rotated = new SecretBox(`${key('k2')},${first}`);
    expect(rotated.open(sealed, 'c')).toBe('s');
    expect(rotated.seal('s', 'c').keyId).toBe('k2');
    expect(() => box.open(rotated.seal('s', 'c'), 'c')).toThrow(/"k2"/);
  });
});
