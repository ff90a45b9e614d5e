import type { Condition, Filter, OrderTerm } from '#libs/core/search/ast.js';
import { conjuncts } from './conditions.js';
import { Parameters } from './parameters.js';
import { HEAD_LENGTH, indexedCondition, isVolume, needsRow, NO_KEY, VOLUME_TABLES } from './run-fields.js';
import { afterSql, bindKey, keySql, orderSql, termType, type OrderKey, type TermType } from './run-order.js';
import {
  changedSql,
  ROW_COLUMNS,
  scopeSql,
  sqlTerms,
  testSql,
  type HitRow,
  type RunQuery,
} from './run-query.js';
import type { Members } from './run-matches.js';
import type { Statement } from './statement.js';

/** A stretch of an order of which an index gives the runs one after the other. */
export type Slice = 'value' | 'NaN' | 'missing';

/** An index is walked for so many experiments at once; more are sorted. */
export const MAX_WALKED_EXPERIMENTS = 64;

/** So many members are looked up and sorted at once, whatever the order. */
export const MAX_SORTED_MEMBERS = 1_000;

/** One row of a walk; the last the walk may look at is marked, and may be no hit. */
export type WalkRow = HitRow & { readonly edge: boolean };

/**
 * The stretches of runs that have a value for the term at `level` (or, at the last one, have none), in order.
 * @returns undefined where no index has the order.
 */
export function slicesOf(terms: readonly OrderTerm[], level: number): readonly Slice[] | undefined {
  const { field } = terms[level]!;
  if (field.scope === 'metric') return ['value', 'NaN'];
  if (isVolume(field.scope)) return ['value'];
  if (field.key === 'start_time') return isLast(terms, level) ? ['value', 'missing'] : ['value'];
  return field.key === 'run_name' ? ['value'] : undefined;
}

/** Whether nothing but the id decides between equals of the term. */
function isLast(terms: readonly OrderTerm[], level: number): boolean {
  const next = terms[level + 1];
  return next?.field.key === 'run_id' && next.direction === 'asc' && level + 2 === terms.length;
}

/** Whether runs can be without the term, and come in an order of their own after those of its slices. */
export function hasRest(terms: readonly OrderTerm[], level: number): boolean {
  const { field } = terms[level]!;
  return isVolume(field.scope) || (field.key === 'start_time' && !isLast(terms, level));
}

/** Where a key lies among the slices of its term. */
export function sliceOf(type: TermType, value: string | null): Slice {
  if (value === null) return 'missing';
  return type === 'metric' && value === 'NaN' ? 'NaN' : 'value';
}

export interface Walk {
  readonly query: RunQuery;
  /** The term to walk by; all terms before it are missing. */
  readonly level: number;
  readonly slice: Slice;
  /** Start behind this key, whose value lies in the slice. */
  readonly after: OrderKey | undefined;
  readonly limit: number;
  /** Most index entries to look at. */
  readonly budget: number;
  /** Runs among which all that match are. */
  readonly members?: Members | undefined;
}

/**
 * The next hits by walking along an index in the order of the leading term, testing each run by look-ups, until there
 * are enough: cheap unless few runs match. Runs that are equal in the leading term are read together and put in order
 * after that. The entry at the end of the budget is always returned, as `edge`: where it is there, what lies behind it
 * is not known.
 */
export function walkStatement(walk: Walk): Statement {
  const { query, level, slice, after, limit, members } = walk;
  const parameters = new Parameters();
  const term = query.terms[level]!;
  const isExact =
    !isVolume(term.field.scope) &&
    isLast(query.terms, level) &&
    (slice === 'missing' || term.direction === 'desc');
  const filters = conjuncts(query.filter).filter((filter) => !members?.filters.includes(filter));
  const own = filters.filter((filter): filter is Condition => isOwn(filter, term, slice));
  const order = `lead ${direction(term, slice)}${isExact ? ', id' : ''}`;
  const entries = entriesSql(walk, own, order, parameters);

  const source = { serial: 'w.run', row: 'r' };
  const others = filters.filter((filter) => !(own as readonly Filter[]).includes(filter));
  const bySerial = others.filter((filter) => !needsRow(filter));
  const byRow = others.filter(needsRow);
  // Of a text the index gives only the beginning.
  const known = (sql: string) => (term.field.scope === 'metric' ? { known: { index: level, sql } } : {});
  const serialTests = bySerial.map((filter) => testSql(filter, source, query.keys, parameters));
  const rowTests = [
    scopeSql(query, 'r', parameters),
    ...byRow.map((filter) => testSql(filter, source, query.keys, parameters)),
    ...sqlTerms(query, source, parameters, { end: level }).map(({ sql }) => `${sql} IS NULL`),
    ...(after === undefined
      ? []
      : [
          afterSql(
            sqlTerms(query, source, parameters, { start: level, ...known('w.lead') }),
            after.slice(level),
            parameters,
          ),
        ]),
  ];
  const found = sqlTerms(query, { serial: 'h.run', row: 'h' }, parameters, known('h.lead'));
  const text = `
    SELECT run AS serial, edge, ${changedSql('h.run')} AS changed, ${found.map(({ type, sql }, index) => `${keySql(type, sql)} AS k${index}`).join(', ')}
      FROM (
        SELECT w.run, w.lead, ${entries.edge} AS edge, r.*
          FROM (${entries.sql}) w
          LEFT JOIN LATERAL (SELECT ${ROW_COLUMNS}, workspace_id, deleted_at FROM run WHERE serial = w.run OFFSET 0) r ON true
         WHERE ${[...serialTests, rowTests.join(' AND ')].map((test) => `(${entries.edge} OR (${test}))`).join(' AND ')}
         ORDER BY ${order.replaceAll(/\b(lead|id)\b/g, 'w.$1')} FETCH FIRST ${limit} ROWS WITH TIES
      ) h
     ORDER BY edge DESC, ${found.map((each, index) => orderSql(each.type, each.sql, query.terms[index]!)).join(', ')}
     LIMIT ${limit + 1}`;
  return { text, values: parameters.values };
}

/** The runs to look at, in order: `run`, `lead`. */
interface Entries {
  readonly sql: string;
  /** SQL: the last entry the walk may look at. */
  readonly edge: string;
}

/** Whether members are few enough to be looked up and sorted, whatever the order. */
export function isLookup({ query, level, members }: Walk): boolean {
  return (
    members !== undefined && members.count <= MAX_SORTED_MEMBERS && isVolume(query.terms[level]!.field.scope)
  );
}

function entriesSql(walk: Walk, own: readonly Condition[], order: string, parameters: Parameters): Entries {
  const { query, level, slice, budget, members } = walk;
  const term = query.terms[level]!;
  if (isLookup(walk)) {
    const source = sourceSql(walk, undefined, own, parameters);
    return { sql: `${source} ORDER BY ${order}`, edge: 'false' };
  }
  // Ordered each by itself, they are merged; PostgreSQL does not find that out otherwise.
  const selects = query.experiments.map(
    (experiment) => `(${sourceSql(walk, experiment, own, parameters)} ORDER BY ${order} LIMIT ${budget})`,
  );
  // Never prepared: of a value that it knows, the planner makes a table of hashes.
  const isMember = members && `run = ANY (${parameters.add(members.serials, 'int[]')})`;
  if (isMember !== undefined && term.field.scope === 'metric' && slice === 'value') {
    // Cheaper for each entry than to number them: an edge of its own, behind all values there are.
    const end = `(SELECT -1 AS run, '${term.direction === 'asc' ? '' : '-'}Infinity'::float8 AS lead)`;
    const sql = `SELECT * FROM (${[...selects, end].join(' UNION ALL ')}) u WHERE run < 0 OR ${isMember} ORDER BY ${order}`;
    return { sql, edge: 'w.run < 0' };
  }
  const edge = `w.n = ${budget}`;
  const sql = `
    SELECT s.*, row_number() OVER () AS n
      FROM (SELECT * FROM (${selects.join(' UNION ALL ')}) u ORDER BY ${order} LIMIT ${budget}) s
     ORDER BY ${order}`;
  return {
    sql: isMember === undefined ? sql : `SELECT * FROM (${sql}) w WHERE ${edge} OR ${isMember}`,
    edge,
  };
}

/** Conditions on the leading field itself narrow the walk. */
function isOwn(filter: Filter, { field }: OrderTerm, slice: Slice): boolean {
  if (filter.kind === 'and' || filter.kind === 'or' || filter.kind === 'presence' || slice === 'missing')
    return false;
  return isVolume(field.scope) && filter.field.scope === field.scope && filter.field.key === field.key;
}

/** As the index is sorted, read in one direction or the other: `run_started_idx` alone keeps NULL last. */
function direction({ field, direction: given }: OrderTerm, slice: Slice): string {
  const isStart = !isVolume(field.scope) && field.key === 'start_time';
  if (!isStart) return given;
  return slice === 'missing' || given === 'desc' ? 'DESC NULLS LAST' : 'ASC NULLS FIRST';
}

/** @param experiment undefined: all members. */
function sourceSql(
  { query, level, slice, after, members }: Walk,
  experiment: number | undefined,
  own: readonly Condition[],
  parameters: Parameters,
): string {
  const term = query.terms[level]!;
  const { scope, key } = term.field;
  const type = termType(term.field);
  const from = after?.[level];
  const bound = slice === 'value' && typeof from === 'string' ? bindKey(type, from, parameters) : undefined;
  const beyond = (sql: string, value = bound): string =>
    value === undefined ? '' : ` AND ${sql} ${term.direction === 'asc' ? '>=' : '<='} ${value}`;
  if (!isVolume(scope)) {
    const column = key === 'start_time' ? 'started_at' : 'name';
    const behind = after?.[level + 1];
    const range =
      slice === 'value'
        ? ` AND ${column} IS NOT NULL${beyond(column)}`
        : ` AND started_at IS NULL${typeof behind === 'string' ? ` AND id > ${bindKey('id', behind, parameters)}` : ''}`;
    return `SELECT serial AS run, ${column} AS lead, id FROM run WHERE experiment_serial = ${parameters.add(experiment, 'int')}${range}`;
  }
  const conditions = own.map((condition) => ` AND ${indexedCondition(scope, condition, parameters)}`);
  const keySql = parameters.add(query.keys.get(key) ?? NO_KEY, 'int');
  const [value, range] =
    scope === 'metric'
      ? ['value', slice === 'NaN' ? ` AND value = 'NaN'` : ` AND value < 'NaN'${beyond('value')}`]
      : ['head', beyond('head', bound && `left(${bound}, ${HEAD_LENGTH})`)];
  const table = VOLUME_TABLES[scope];
  if (experiment === undefined)
    return `SELECT m.run, v.${value} AS lead FROM unnest(${parameters.add(members!.serials, 'int[]')}) m (run)
              JOIN LATERAL (SELECT * FROM ${table} WHERE run = m.run AND key = ${keySql} OFFSET 0) v ON true
             WHERE true${conditions.join('')}${range}`;
  return `SELECT run, ${value} AS lead FROM ${table} WHERE experiment = ${parameters.add(experiment, 'int')}
             AND key = ${keySql}${conditions.join('')}${range}`;
}
