import { createHash } from 'node:crypto';
import { LRUCache } from 'lru-cache';

/** A prepared statement takes some 100 kB in every connection, and stays there. */
const MAX_PREPARED = 32;
/** Texts of which it is remembered that they were seen. */
const MAX_SEEN = 256;

/**
 * Names for statements whose text depends on what is asked: the first that are asked again are prepared, and only so many.
 */
export class PreparedShapes {
  private readonly names = new Map<string, string>();
  private readonly seen = new LRUCache<string, true>({ max: MAX_SEEN });

  /** @returns undefined where the statement is better planned each time. */
  nameOf(text: string): string | undefined {
    const known = this.names.get(text);
    if (known !== undefined || this.names.size >= MAX_PREPARED) return known;
    if (!this.seen.has(text)) {
      this.seen.set(text, true);
      return undefined;
    }
    const name = `search_${createHash('sha256').update(text).digest('hex').slice(0, 24)}`;
    this.names.set(text, name);
    return name;
  }
}
