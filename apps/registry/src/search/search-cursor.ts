import { createHash } from 'node:crypto';
import { DomainError } from '#libs/core/errors/catalogue.js';
import { decodeCursor } from '../http/page.js';

/** Raised when what cursors hold changes its meaning. */
const VERSION = 1;

interface Cursor {
  readonly v: typeof VERSION;
  /** Digest of the query. */
  readonly q: string;
  /** The keyset position: values of the order at the last item, as text. */
  readonly k: readonly (string | null)[];
}

/**
 * Cursors of one query: what is searched, how it is ordered, for whom. A cursor that another query gave is refused,
 * because its position means nothing here.
 */
export class SearchCursors {
  readonly digest: string;

  /** @param query all that decides which items come in which order, but for the length of the page. */
  constructor(query: unknown) {
    this.digest = createHash('sha256').update(JSON.stringify(query)).digest('base64url').slice(0, 16);
  }

  write(key: readonly (string | null)[]): string {
    const cursor: Cursor = { v: VERSION, q: this.digest, k: key };
    return Buffer.from(JSON.stringify(cursor)).toString('base64url');
  }

  /**
   * @param isKey whether the values can be ones this query wrote; there are `length` of them.
   * @returns undefined for the first page.
   * @throws DomainError INVALID_CURSOR.
   */
  read(
    cursor: string | undefined,
    length: number,
    isKey: (value: string, index: number) => boolean,
  ): readonly (string | null)[] | undefined {
    const read = decodeCursor(cursor, isCursor);
    if (read === undefined) return undefined;
    if (read.q !== this.digest)
      throw new DomainError(
        'INVALID_CURSOR',
        'The cursor belongs to another search: what is searched, the filter and the order must stay the same from page to page.',
      );
    if (read.k.length === length && read.k.every((value, index) => value === null || isKey(value, index)))
      return read.k;
    throw new DomainError(
      'INVALID_CURSOR',
      'The cursor is not one this search returned; start again without it.',
    );
  }
}

function isCursor(value: unknown): value is Cursor {
  if (typeof value !== 'object' || value === null) return false;
  const { v, q, k } = value as Partial<Record<keyof Cursor, unknown>>;
  return (
    v === VERSION &&
    typeof q === 'string' &&
    Array.isArray(k) &&
    k.every((each) => each === null || typeof each === 'string')
  );
}
