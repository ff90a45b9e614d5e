import { ValidateBy } from 'class-validator';
import { DIGEST_PATTERN, NAME_PATTERN } from '#libs/core/content/schemas.js';

const TEXT = /^[A-Za-z0-9._-]{1,128}@[\p{L}\p{N}._-]{1,255}$/u;
const NAME = new RegExp(NAME_PATTERN);
const DIGEST = new RegExp(DIGEST_PATTERN);

/** Accepts `name@alias`, `name@number` and `{name, version, digest}`, as the content of a chain does. */
export const IsReference = (): PropertyDecorator =>
  ValidateBy({
    name: 'isReference',
    validator: {
      validate: (value: unknown) => (typeof value === 'string' ? TEXT.test(value) : isPinned(value)),
      defaultMessage: () =>
        'must name a version: "support@champion", "support@3", or {"name": "support", "version": 3, "digest": "sha256:…"}',
    },
  });

function isPinned(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const { name, version, digest, ...others } = value as Record<string, unknown>;
  return (
    typeof name === 'string' &&
    NAME.test(name) &&
    Number.isSafeInteger(version) &&
    Number(version) > 0 &&
    typeof digest === 'string' &&
    DIGEST.test(digest) &&
    Object.keys(others).length === 0
  );
}
