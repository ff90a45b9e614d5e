import type { Filter, OrderTerm, SearchEntity } from '#libs/core/search/ast.js';
import { FilterError } from '#libs/core/search/filter-error.js';
import { parseFilter, parseOrderBy } from '#libs/core/search/filter-parser.js';
import { DomainError } from '#libs/core/errors/catalogue.js';

/** A filter from a request. @throws DomainError VALIDATION_FAILED that names the place and what is expected there. */
export function readFilter(entity: SearchEntity, text: string | undefined): Filter | null {
  return refused(() => parseFilter(entity, text ?? ''));
}

/** The clauses of an order from a request. @throws DomainError VALIDATION_FAILED. */
export function readOrderBy(
  entity: SearchEntity,
  clauses: readonly string[] | undefined,
): readonly OrderTerm[] {
  return refused(() => parseOrderBy(entity, clauses ?? []));
}

function refused<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof FilterError)) throw error;
    const { column, found, expected } = error;
    throw new DomainError('VALIDATION_FAILED', error.message, { column, found, expected });
  }
}
