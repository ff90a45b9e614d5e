import type { OrderTerm } from '#libs/core/search/ast.js';
import { DomainError } from '#libs/core/errors/catalogue.js';
import { SOURCE_RUN } from './trace.js';
import type { Parameters } from '../search/parameters.js';

/** A place in the order: the values of its terms, and the serial, which settles ties. */
export type TracePosition = readonly (string | number | null)[];

interface Term {
  readonly sql: string;
  readonly direction: 'ASC' | 'DESC';
  readonly isNullable: boolean;
}

/** How a list of traces is ordered: newest first unless asked otherwise. What lacks a value comes last. */
export class TraceOrder {
  private readonly terms: readonly Term[];

  constructor(order: readonly OrderTerm[], parameters: Parameters) {
    const terms = order.map(({ field, direction }): Term => {
      const sql = expressionOf(field.scope, field.key, parameters);
      const isNullable = sql !== 't.time_ms' && sql !== 't.trace_id' && sql !== 't.state';
      return { sql, direction: direction === 'asc' ? 'ASC' : 'DESC', isNullable };
    });
    if (!terms.some((term) => term.sql === 't.time_ms'))
      terms.push({ sql: 't.time_ms', direction: 'DESC', isNullable: false });
    this.terms = [...terms, { sql: 't.serial', direction: 'DESC', isNullable: false }];
  }

  /** Columns `k0`, `k1`… of which `positionOf` reads a row's place. */
  get columns(): string {
    return this.terms.map((term, index) => `${term.sql} AS k${index}`).join(', ');
  }

  /** Over `trace t`; for the outside of the query, over its columns. */
  by(where: 'table' | 'columns'): string {
    return this.terms
      .map(({ sql, direction, isNullable }, index) => {
        const expression = where === 'table' ? sql : `k${index}`;
        // The index of times reads backwards only without NULLS LAST.
        return `${expression} ${direction}${isNullable ? ' NULLS LAST' : ''}`;
      })
      .join(', ');
  }

  positionOf(row: Readonly<Record<string, unknown>>): TracePosition {
    return this.terms.map((_, index) => row[`k${index}`] as string | number | null);
  }

  isPosition = (key: unknown): key is TracePosition =>
    Array.isArray(key) &&
    key.length === this.terms.length &&
    key.every(
      (value, index) =>
        (value === null && this.terms[index]!.isNullable) ||
        (isText(this.terms[index]!.sql) ? typeof value === 'string' : Number.isSafeInteger(value)),
    );

  /** What lies behind a place. */
  after(position: TracePosition, parameters: Parameters): string {
    const [first, second] = this.terms;
    if (this.terms.length === 2 && first!.direction === 'DESC' && second!.direction === 'DESC')
      return `(t.time_ms, t.serial) < (${parameters.add(position[0], 'bigint')}, ${parameters.add(position[1], 'bigint')})`;
    const alternatives = this.terms.map((term, index) => {
      const equal = this.terms
        .slice(0, index)
        .map(
          (earlier, at) => `${earlier.sql} IS NOT DISTINCT FROM ${cast(earlier, position[at]!, parameters)}`,
        );
      return [...equal, behind(term, position[index]!, parameters)].join(' AND ');
    });
    return `(${alternatives.map((alternative) => `(${alternative})`).join(' OR ')})`;
  }
}

function behind(term: Term, value: string | number | null, parameters: Parameters): string {
  if (value === null) return 'false';
  const beyond = `${term.sql} ${term.direction === 'ASC' ? '>' : '<'} ${cast(term, value, parameters)}`;
  return term.isNullable ? `(${beyond} OR ${term.sql} IS NULL)` : beyond;
}

const cast = (term: Term, value: string | number | null, parameters: Parameters): string =>
  parameters.add(value, isText(term.sql) ? 'text' : 'bigint');

const NUMBERS = ['t.time_ms', 't.serial', 't.duration_ms', '(t.time_ms + t.duration_ms)', 't.experiment'];
const isText = (sql: string): boolean => !NUMBERS.includes(sql);

const COLUMNS: Readonly<Record<string, string>> = {
  timestamp_ms: 't.time_ms',
  execution_time_ms: 't.duration_ms',
  end_time_ms: '(t.time_ms + t.duration_ms)',
  experiment_id: 't.experiment',
  status: 't.state',
  trace_id: 't.trace_id',
  name: 't.name',
};

function expressionOf(scope: string, key: string, parameters: Parameters): string {
  if (scope === 'tag') return `(t.tags ->> ${parameters.add(key, 'text')})`;
  if (scope === 'metadata') return `(t.metadata ->> ${parameters.add(key, 'text')})`;
  if (scope === 'attribute' && key === 'run_id')
    return `(t.metadata ->> ${parameters.add(SOURCE_RUN, 'text')})`;
  const column = scope === 'attribute' ? COLUMNS[key] : undefined;
  if (column === undefined)
    throw new DomainError('VALIDATION_FAILED', `Traces cannot be ordered by ${scope} "${key}".`);
  return column;
}
