import type { ChainContent, Generation, Task } from './types.js';

export function taskOf(chain: ChainContent<unknown>): Task {
  return chain.embed ? 'embed' : 'generate';
}

/** What a chain asks a model for: first what it asks at first, then its fallbacks. */
export function generationsOf<R>(chain: ChainContent<R>): readonly [Generation<R>, ...Generation<R>[]] {
  return [chain.embed ?? chain.generate, ...(chain.fallbacks ?? [])];
}

export interface MisfitFallback {
  /** Of the fallback, from 0. */
  readonly index: number;
  readonly message: string;
}

/**
 * The first fallback of an embedding chain that would give vectors of another space than the chain's own: they have the
 * same shape, are compared with the others, and all that comes of it is wrong, silently. Servers may have names of their
 * own for a model: then it is the registered model that tells, where both name one.
 * @returns undefined where there is none, and for a chain that generates.
 */
export function misfitFallback({ embed, fallbacks = [] }: ChainContent): MisfitFallback | undefined {
  if (!embed) return undefined;
  for (const [index, fallback] of fallbacks.entries()) {
    if (!isSameModel(fallback, embed))
      return {
        index,
        message: `asks for "${fallback.model}" where the chain embeds with "${embed.model}", and vectors of two models cannot be compared; name the same model or, where only its name differs, give both the same registeredModel`,
      };
    const dimensions = [embed, fallback].map(pinnedDimensions);
    if (dimensions[0] !== dimensions[1])
      return {
        index,
        message: `pins ${said(dimensions[1])} where the chain pins ${said(dimensions[0])}; pin the same dimensions`,
      };
  }
  return undefined;
}

function isSameModel(a: Generation, b: Generation): boolean {
  const [one, other] = [a.registeredModel, b.registeredModel];
  return one && other ? one.name === other.name && one.version === other.version : a.model === b.model;
}

function pinnedDimensions({ parameters, extraBody }: Generation): unknown {
  return extraBody?.['dimensions'] ?? parameters?.['dimensions'];
}

function said(dimensions: unknown): string {
  return dimensions === undefined ? 'no dimensions' : `${JSON.stringify(dimensions)} dimensions`;
}
