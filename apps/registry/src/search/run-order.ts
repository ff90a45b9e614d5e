import type { Field, OrderTerm } from '#libs/core/search/ast.js';
import { attributeSql, isVolume, NO_KEY, VOLUME_TABLES, type KeyIds, type RunSource } from './run-fields.js';
import type { Parameters } from './parameters.js';
import { isMicroseconds, microsecondsSql, timestampText } from './timestamp.js';
import { uuidOf } from './conditions.js';

const START_TIME: Field = { scope: 'attribute', key: 'start_time' };
const RUN_ID: Field = { scope: 'attribute', key: 'run_id' };

/** What the values of a term are. Metrics come as numbers, then NaN, then missing, in both directions. */
export type TermType = 'metric' | 'integer' | 'text' | 'time' | 'id';

/** Values of the terms of an order at one run, as text; null where the run has none. */
export type OrderKey = readonly (string | null)[];

/** An order made total: ties go to the run that started last, then to the smaller id, as in MLflow. */
export function totalOrder(terms: readonly OrderTerm[]): readonly OrderTerm[] {
  const names = (field: Field) =>
    terms.some((term) => term.field.scope === field.scope && term.field.key === field.key);
  return [
    ...terms,
    ...(names(START_TIME) ? [] : [{ field: START_TIME, direction: 'desc' } as const]),
    ...(names(RUN_ID) ? [] : [{ field: RUN_ID, direction: 'asc' } as const]),
  ];
}

export function termType({ scope, key }: Field): TermType {
  if (scope === 'metric') return 'metric';
  if (key === 'run_id' && scope === 'attribute') return 'id';
  return scope === 'attribute' && (key === 'start_time' || key === 'end_time') ? 'time' : 'text';
}

/** SQL of a term's value at one run; NULL where it has none. */
export function termSql(
  { field }: OrderTerm,
  source: RunSource,
  keys: KeyIds,
  parameters: Parameters,
): string {
  if (!isVolume(field.scope)) return attributeSql(field.key, source.row);
  return `(SELECT value FROM ${VOLUME_TABLES[field.scope]}
            WHERE run = ${source.serial} AND key = ${parameters.add(keys.get(field.key) ?? NO_KEY, 'int')})`;
}

/** SQL of a term's value as cursors keep it: text from which the same value can be made. */
export function keySql(type: TermType, sql: string): string {
  return type === 'time' ? microsecondsSql(sql) : `(${sql})::text`;
}

/** Whether text from a cursor is one of `keySql`. */
export function isKeyText(type: TermType, text: string): boolean {
  switch (type) {
    case 'metric':
      return /^(NaN|-?Infinity|-?\d{1,20}(\.\d{1,20})?(e[+-]\d{1,3})?)$/.test(text) && !overflows(text);
    case 'integer':
      return /^\d{1,9}$/.test(text);
    case 'time':
      return isMicroseconds(text);
    case 'id':
      return uuidOf(text) === text;
    case 'text':
      return !text.includes('\0');
  }
}

function overflows(number: string): boolean {
  return !number.endsWith('Infinity') && number !== 'NaN' && !Number.isFinite(Number(number));
}

const SQL_TYPES: Readonly<Record<TermType, string>> = {
  metric: 'float8',
  integer: 'int',
  text: 'text',
  time: 'timestamptz',
  id: 'uuid',
};

/** Binds a value of a cursor. */
export function bindKey(type: TermType, text: string, parameters: Parameters): string {
  return parameters.add(type === 'time' ? timestampText(BigInt(text)) : text, SQL_TYPES[type]);
}

/** The ORDER BY of a term. */
export function orderSql(type: TermType, sql: string, { direction }: OrderTerm): string {
  if (direction === 'asc') return `${sql} ASC NULLS LAST`;
  return type === 'metric'
    ? `nullif(${sql}, 'NaN') DESC NULLS LAST, ${sql} ASC NULLS LAST`
    : `${sql} DESC NULLS LAST`;
}

export interface SqlTerm {
  readonly type: TermType;
  readonly direction: 'asc' | 'desc';
  /** SQL of its value. */
  readonly sql: string;
}

/** The test whether a run comes after the key of a cursor. `terms` and `key` have the same length. */
export function afterSql(terms: readonly SqlTerm[], key: OrderKey, parameters: Parameters): string {
  const [term, ...others] = terms;
  if (term === undefined) return 'false';
  const { sql, type, direction } = term;
  const at = key[0];
  const beyond = afterSql(others, key.slice(1), parameters);
  if (at === null || at === undefined) return `(${sql} IS NULL AND ${beyond})`;
  if (at === 'NaN' && type === 'metric') return `(${sql} IS NULL OR (${sql} = 'NaN' AND ${beyond}))`;
  const value = bindKey(type, at, parameters);
  const missing = type === 'id' ? '' : ` OR ${sql} IS NULL`;
  const passed =
    direction === 'asc'
      ? `${sql} > ${value}`
      : `${sql} < ${value}${type === 'metric' ? ` OR ${sql} = 'NaN'` : ''}`;
  return `(${passed}${missing} OR (${sql} = ${value} AND ${beyond}))`;
}
