import { validate } from 'uuid';
import type { Comparator, Condition, Filter } from '#libs/core/search/ast.js';
import type { Parameters } from './parameters.js';
import { MAX_TIME_MS, MIN_TIME_MS, timestampText } from './timestamp.js';

/** SQL of one condition: true where it holds, false or NULL where not. */
export type ConditionSql = (condition: Condition, parameters: Parameters) => string;

/**
 * A filter as one boolean expression. Every value goes through `parameters`; each noun says in `conditionSql` where
 * its fields live, mostly with the functions below.
 */
export function filterSql(filter: Filter, parameters: Parameters, conditionSql: ConditionSql): string {
  switch (filter.kind) {
    case 'and':
    case 'or':
      return `(${filter.operands
        .map((operand) => filterSql(operand, parameters, conditionSql))
        .join(filter.kind === 'and' ? ' AND ' : ' OR ')})`;
    case 'compare':
    case 'match':
    case 'in':
    case 'presence':
      return conditionSql(filter, parameters);
  }
}

/** The operands of the outermost AND; the filter itself where there is none. */
export function conjuncts(filter: Filter | null): readonly Filter[] {
  if (filter === null) return [];
  return filter.kind === 'and' ? filter.operands : [filter];
}

const SQL_COMPARATORS: Readonly<Record<Comparator, string>> = {
  '=': '=',
  '!=': '<>',
  '<': '<',
  '<=': '<=',
  '>': '>',
  '>=': '>=',
};

/**
 * A condition on a text expression. RLIKE needs care of the caller: PostgreSQL refuses a bad pattern with 2201B.
 * @param sql an expression without side effects; it may appear more than once in the result.
 */
export function textCondition(sql: string, condition: Condition, parameters: Parameters): string {
  switch (condition.kind) {
    case 'compare':
      return `${sql} ${SQL_COMPARATORS[condition.operator]} ${parameters.add(String(condition.value), 'text')}`;
    case 'match':
      if (condition.operator === 'RLIKE') return `${sql} ~ ${parameters.add(condition.pattern, 'text')}`;
      return `${sql} ${condition.operator} ${parameters.add(likePattern(condition.pattern), 'text')}`;
    case 'in':
      return `${sql} ${condition.negated ? '<> ALL' : '= ANY'} (${parameters.add(condition.values, 'text[]')})`;
    case 'presence':
      return presence(sql, condition.present);
  }
}

/** A backslash escapes `%`, `_` and itself, and is a character like others elsewhere: no pattern is an error. */
function likePattern(pattern: string): string {
  return pattern.replaceAll(/\\([%_\\]?)/g, (_, escaped: string) =>
    escaped === '' ? '\\\\' : `\\${escaped}`,
  );
}

/** A condition on a `double precision` expression. As in MLflow, NaN matches `!=` and nothing else. */
export function numberCondition(sql: string, condition: Condition, parameters: Parameters): string {
  if (condition.kind === 'presence') return presence(sql, condition.present);
  const { operator, value } = comparison(condition);
  const test = `${sql} ${SQL_COMPARATORS[operator]} ${parameters.add(value, 'float8')}`;
  // PostgreSQL holds NaN for the greatest number.
  return operator === '>' || operator === '>=' ? `(${test} AND ${sql} < 'NaN')` : test;
}

/** A condition on an integer expression; numbers beyond its range match as if they were at its end. */
export function integerCondition(sql: string, condition: Condition, parameters: Parameters): string {
  switch (condition.kind) {
    case 'presence':
      return presence(sql, condition.present);
    case 'in':
      return `${sql} ${condition.negated ? '<> ALL' : '= ANY'} (${parameters.add(condition.values, 'bigint[]')})`;
    case 'compare':
    case 'match': {
      const { operator, value } = comparison(condition);
      return discrete(sql, operator, value, (whole) =>
        parameters.add(BigInt(Math.min(2 ** 62, Math.max(-(2 ** 62), whole))).toString(), 'bigint'),
      );
    }
  }
}

/** A condition in Unix milliseconds on a `timestamptz` expression. */
export function timeCondition(sql: string, condition: Condition, parameters: Parameters): string {
  if (condition.kind === 'presence') return presence(sql, condition.present);
  const { operator, value } = comparison(condition);
  return discrete(sql, operator, value, (whole) => {
    const clamped = Math.min(MAX_TIME_MS, Math.max(MIN_TIME_MS, whole));
    return parameters.add(timestampText(BigInt(clamped) * 1_000n), 'timestamptz');
  });
}

/**
 * A condition on a `uuid` expression that clients know as 32 hexadecimal digits, after `prefix` (`m-` of logged models).
 * The hyphenated form is accepted as well.
 */
export function idCondition(sql: string, condition: Condition, parameters: Parameters, prefix = ''): string {
  const known = (id: string): string | null => uuidOf(id.startsWith(prefix) ? id.slice(prefix.length) : id);
  switch (condition.kind) {
    case 'compare': {
      const id = parameters.add(known(String(condition.value)), 'uuid');
      return condition.operator === '=' ? `${sql} = ${id}` : `${sql} IS DISTINCT FROM ${id}`;
    }
    case 'in': {
      const ids = condition.values.map(known).filter((id) => id !== null);
      return `${sql} ${condition.negated ? '<> ALL' : '= ANY'} (${parameters.add(ids, 'uuid[]')})`;
    }
    case 'match':
      return textCondition(hexId(sql, prefix), condition, parameters);
    case 'presence':
      return presence(sql, condition.present);
  }
}

/** A `uuid` expression as clients of the MLflow protocol know it. */
export function hexId(sql: string, prefix = ''): string {
  return `('${prefix}' || replace(${sql}::text, '-', ''))`;
}

/** The UUID of 32 hexadecimal digits or of the hyphenated form; null for anything else. */
export function uuidOf(id: string): string | null {
  const hyphenated = /^[0-9a-f]{32}$/i.test(id)
    ? [id.slice(0, 8), id.slice(8, 12), id.slice(12, 16), id.slice(16, 20), id.slice(20)].join('-')
    : id;
  // Ids from elsewhere (imports) need not have a version of RFC 9562.
  const isUuid = validate(hyphenated) || /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(hyphenated);
  return isUuid ? hyphenated.toLowerCase() : null;
}

/**
 * A condition on the one row that `from` selects, such as `param WHERE run = r.serial AND key = $1`, or on its
 * absence. It is written as a scalar sub-query, which PostgreSQL runs as one look-up for each row and never turns
 * into a scan of the whole table.
 * @param test the condition on the row, of the kinds other than `presence`.
 */
export function rowCondition(from: string, condition: Condition, test: () => string): string {
  if (condition.kind === 'presence')
    return `(SELECT true FROM ${from} LIMIT 1) IS ${condition.present ? 'NOT NULL' : 'NULL'}`;
  return `(SELECT ${test()} FROM ${from})`;
}

function presence(sql: string, present: boolean): string {
  return `${sql} IS ${present ? 'NOT NULL' : 'NULL'}`;
}

function comparison(condition: Condition): { operator: Comparator; value: number } {
  if (condition.kind !== 'compare' || typeof condition.value !== 'number')
    throw new TypeError(`A numeric field cannot be tested by ${condition.kind}`);
  return { operator: condition.operator, value: condition.value };
}

/** Between whole numbers: `> 1.5` is `> 1`, `>= 1.5` is `>= 2`, `= 1.5` never. */
function discrete(sql: string, operator: Comparator, value: number, bind: (whole: number) => string): string {
  if (!Number.isInteger(value) && operator === '=') return 'false';
  if (!Number.isInteger(value) && operator === '!=') return `${sql} IS NOT NULL`;
  const whole = operator === '>' || operator === '<=' ? Math.floor(value) : Math.ceil(value);
  return `${sql} ${SQL_COMPARATORS[operator]} ${bind(whole)}`;
}
