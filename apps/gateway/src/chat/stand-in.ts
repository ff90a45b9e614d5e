import type { Generation } from '#libs/core/content/types.js';
import { OUTPUT_LIMITS } from '../providers/canonical.js';

/** By fallback: contents of chains are never changed. */
const known = new WeakMap<Generation, Generation>();

/**
 * A fallback as it runs: with the output limit of the generation it stands in for, where it pins none of its own. Else
 * the caller's limit, or none, would hold of a sudden, and an outage would make answers longer and dearer.
 */
export function standIn(fallback: Generation, primary: Generation): Generation {
  if (limitsOf(fallback).length > 0) return fallback;
  let generation = known.get(fallback);
  if (!generation) {
    const limits = Object.fromEntries(limitsOf(primary));
    generation = { ...fallback, parameters: { ...fallback.parameters, ...limits } };
    known.set(fallback, generation);
  }
  return generation;
}

function limitsOf({ parameters, extraBody }: Generation) {
  const pinned = { ...parameters, ...extraBody };
  return OUTPUT_LIMITS.filter((name) => pinned[name] !== undefined).map(
    (name) => [name, pinned[name]!] as const,
  );
}
