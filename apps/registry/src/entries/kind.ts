import { KINDS, type Kind } from '#libs/core/content/schemas.js';

/** The path segment and Swagger group of each kind. */
export const PLURAL = { prompt: 'prompts', model: 'models', chain: 'chains' } as const satisfies Record<
  Kind,
  string
>;

/** `prompt` → `Prompt`, for class names and titles. */
export function capitalised(kind: Kind): string {
  return kind[0]!.toUpperCase() + kind.slice(1);
}

/** Names a class that a factory made: Swagger derives operation ids and schema names from it. */
export function named<T extends abstract new (...args: never[]) => object>(made: T, name: string): T {
  Object.defineProperty(made, 'name', { value: name });
  return made;
}

/** Makes one class per kind. */
export function perKind<T>(make: (kind: Kind) => T): Record<Kind, T> {
  return Object.fromEntries(KINDS.map((kind) => [kind, make(kind)])) as Record<Kind, T>;
}
