import type { PinnedReference, Reference } from './types.js';

export type ParsedReference =
  | { readonly by: 'alias'; readonly name: string; readonly alias: string }
  | { readonly by: 'number'; readonly name: string; readonly version: number }
  | { readonly by: 'pin'; readonly name: string; readonly version: number; readonly digest: string };

/** Takes `name@alias`, `name@number` and pinned references apart. The schema has checked their form. */
export function parseReference(reference: Reference): ParsedReference {
  if (typeof reference !== 'string') return { by: 'pin', ...reference };
  const at = reference.lastIndexOf('@');
  const name = reference.slice(0, at);
  const target = reference.slice(at + 1);
  return /^[0-9]+$/.test(target)
    ? { by: 'number', name, version: Number(target) }
    : { by: 'alias', name, alias: target };
}

export function referenceText(reference: PinnedReference): string {
  return `${reference.name}@${reference.version}`;
}
