/** How a request came to be. */
export interface Origin {
  /** The inference whose request it got a copy of. */
  readonly shadowOf: string | null;
  /** Whether its answer was found in the cache; null where none was looked for. */
  readonly cacheHit: boolean | null;
}

export const CALLED: Origin = { shadowOf: null, cacheHit: null };
export const FOUND: Origin = { shadowOf: null, cacheHit: true };
export const NOT_FOUND: Origin = { shadowOf: null, cacheHit: false };
