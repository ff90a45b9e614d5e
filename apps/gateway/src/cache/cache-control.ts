/** What a caller asks of caches: RFC 9111 §5.2.1, as far as it makes sense here. */
export interface CacheWish {
  /** Oldest answer it takes, in seconds; 0: none that was kept. */
  readonly maxAgeSeconds: number;
  /** Whether its answer may be kept. */
  readonly mayKeep: boolean;
}

const ANY: CacheWish = { maxAgeSeconds: Infinity, mayKeep: true };
const MAX_AGE = /^max-age="?(\d{1,10})"?$/;

/** @param header `cache-control` of a request. Directives that are not known are passed over, as the RFC has it. */
export function cacheWish(header: string | undefined): CacheWish {
  if (header === undefined) return ANY;
  let { maxAgeSeconds, mayKeep } = ANY;
  for (const part of header.split(',')) {
    const directive = part.trim().toLowerCase();
    const age = MAX_AGE.exec(directive)?.[1];
    if (directive === 'no-store') mayKeep = false;
    if (directive === 'no-store' || directive === 'no-cache') maxAgeSeconds = 0;
    else if (age !== undefined) maxAgeSeconds = Math.min(maxAgeSeconds, Number(age));
  }
  return { maxAgeSeconds, mayKeep };
}
