import type { Condition, Filter, OrderTerm } from '#libs/core/search/ast.js';
import { conjuncts, filterSql } from './conditions.js';
import type { Parameters } from './parameters.js';
import { isVolume, runSet, runTest, type KeyIds, type RunSource } from './run-fields.js';
import { termSql, termType, type SqlTerm } from './run-order.js';

export type Lifecycle = 'active' | 'deleted' | 'all';

/** One search of runs, in full. */
export interface RunQuery {
  readonly workspaceId: string;
  readonly experiments: readonly number[];
  readonly filter: Filter | null;
  /** Total: no two runs are equal in it. */
  readonly terms: readonly OrderTerm[];
  readonly lifecycle: Lifecycle;
  readonly keys: KeyIds;
}

/** A run that was found. */
export interface Hit {
  readonly serial: number;
  /** Its place in the order. */
  readonly key: readonly (string | null)[];
  /** What it was changed by last: see `changedSql`. */
  readonly changed: string | null;
}

/** A hit as the statements return it: `k0`, `k1` … are its key. */
export type HitRow = { readonly serial: number; readonly changed: string | null } & Readonly<
  Record<`k${number}`, string | null>
>;

export function hitOf(row: HitRow, terms: number): Hit {
  const key = Array.from({ length: terms }, (_, index) => row[`k${index}`] ?? null);
  return { serial: row.serial, key, changed: row.changed };
}

/** As long as this text is the same, so is the run with all it logged. */
export function changedSql(serial: string): string {
  return `(SELECT c.changed::text FROM run_change c WHERE c.run = ${serial})`;
}

/** Columns of `run` that tests and terms read. */
export const ROW_COLUMNS = 'id, experiment_serial, name, created_by, status, started_at, ended_at';

/** The test of a row's `deleted_at`. */
export function lifecycleSql(lifecycle: Lifecycle, row: string): string {
  if (lifecycle === 'all') return 'true';
  return `${row}.deleted_at IS ${lifecycle === 'active' ? 'NULL' : 'NOT NULL'}`;
}

/** The tests every run must pass that come from the scope of a search, not from its filter. */
export function scopeSql({ workspaceId, lifecycle }: RunQuery, row: string, parameters: Parameters): string {
  return `${row}.workspace_id = ${parameters.add(workspaceId, 'uuid')} AND ${lifecycleSql(lifecycle, row)}`;
}

export function testSql(filter: Filter, source: RunSource, keys: KeyIds, parameters: Parameters): string {
  return filterSql(filter, parameters, runTest(source, keys));
}

/**
 * The terms from `start` to before `end` as SQL.
 * @param known SQL of the value of a term that the statement has at hand.
 */
export function sqlTerms(
  query: RunQuery,
  source: RunSource,
  parameters: Parameters,
  { start = 0, end = query.terms.length, known }: { start?: number; end?: number; known?: KnownTerm } = {},
): SqlTerm[] {
  return query.terms.slice(start, end).map((term, index) => ({
    type: termType(term.field),
    direction: term.direction,
    sql: known?.index === start + index ? known.sql : termSql(term, source, query.keys, parameters),
  }));
}

export interface KnownTerm {
  readonly index: number;
  readonly sql: string;
}

const isCondition = (filter: Filter): filter is Condition => filter.kind !== 'and' && filter.kind !== 'or';

/** Whether an index can name all runs that match, without looking at others. */
export function hasSet(filter: Filter): boolean {
  if (filter.kind === 'or') return filter.operands.every(hasSet);
  if (!isCondition(filter)) return false;
  const { scope } = filter.field;
  return scope === 'dataset' || (isVolume(scope) && !(filter.kind === 'presence' && !filter.present));
}

/** Whether a condition of the filter is one that an index answers at once: the value of a param or tag, or a dataset. */
export function hasNarrowSet({ filter }: RunQuery): boolean {
  return conjuncts(filter).some(
    (each) =>
      isCondition(each) &&
      each.kind === 'compare' &&
      each.operator === '=' &&
      each.field.scope !== 'metric' &&
      hasSet(each),
  );
}

/** Serials of the runs that match a filter of which `hasSet` holds. */
export function setSql(filter: Filter, { experiments, keys }: RunQuery, parameters: Parameters): string {
  if (isCondition(filter)) return runSet(filter, experiments, keys, parameters)!;
  return filter.operands
    .map((operand) => setSql(operand, { experiments, keys } as RunQuery, parameters))
    .join(' UNION ALL ');
}

/** Whether the filter matches only runs that have the field of a term. */
export function demands(query: RunQuery, { field }: OrderTerm): boolean {
  return conjuncts(query.filter).some(
    (filter) =>
      isCondition(filter) &&
      filter.field.scope === field.scope &&
      filter.field.key === field.key &&
      !(filter.kind === 'presence' && !filter.present),
  );
}

/** Whether the filter names its runs by their ids: few, and found at once. */
export function namesRuns({ filter }: RunQuery): boolean {
  return conjuncts(filter).some(
    (each) =>
      isCondition(each) &&
      each.field.key === 'run_id' &&
      each.field.scope === 'attribute' &&
      ((each.kind === 'compare' && each.operator === '=') || (each.kind === 'in' && !each.negated)),
  );
}
