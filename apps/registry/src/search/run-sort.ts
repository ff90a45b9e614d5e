import type { Condition, Field, Filter } from '#libs/core/search/ast.js';
import { conjuncts, numberCondition } from './conditions.js';
import { Parameters } from './parameters.js';
import { afterSql, keySql, orderSql, type OrderKey } from './run-order.js';
import {
  demands,
  hasSet,
  ROW_COLUMNS,
  scopeSql,
  setSql,
  sqlTerms,
  testSql,
  type RunQuery,
} from './run-query.js';
import { isVolume, NO_KEY } from './run-fields.js';
import type { Statement } from './statement.js';

/** More joins than these help no plan and make planning slow; further conditions are tested run by run. */
const MAX_SETS = 4;

/**
 * The next hits by finding all matching runs first and sorting them: for filters that few runs match, where walking
 * along the order would pass too many others.
 */
export function sortStatement(query: RunQuery, after: OrderKey | undefined, limit: number): Statement {
  const parameters = new Parameters();
  const row = { serial: 'r.serial', row: 'r' };
  const tests = [
    scopeSql(query, 'r', parameters),
    `r.experiment_serial = ANY (${parameters.add(query.experiments, 'int[]')})`,
  ];
  const first = query.terms[0]!;
  // Joined once where the filter asks for it anyway, not looked up again for the order.
  const isJoined = first.field.scope === 'metric' && demands(query, first);
  const joined = isJoined
    ? `JOIN latest_metric lead ON lead.run = r.serial AND lead.key = ${parameters.add(query.keys.get(first.field.key) ?? NO_KEY, 'int')}`
    : '';
  const filters = conjuncts(query.filter).filter((filter) => {
    if (!isJoined || !isConditionOn(filter, first.field)) return true;
    if (filter.kind !== 'presence') tests.push(numberCondition('lead.value', filter, parameters));
    return false;
  });
  const sets = filters.filter(hasSet).slice(0, MAX_SETS);
  for (const filter of filters)
    tests.push(
      sets.includes(filter)
        ? `r.serial IN (${setSql(filter, query, parameters)})`
        : testSql(filter, row, query.keys, parameters),
    );
  const terms = sqlTerms(
    query,
    { serial: 'h.serial', row: 'h' },
    parameters,
    isJoined ? { known: { index: 0, sql: 'h.lead' } } : {},
  );
  const named = terms.map((term, index) => ({ ...term, sql: `o${index}` }));
  // Not to be mixed with the sorting: a plan that walks in order and hopes to stop early is what was given up.
  const hits = query.filter === null ? '' : 'MATERIALIZED';
  // Looked up once for each run, not wherever it is mentioned.
  const keyed = query.terms.some(({ field }) => isVolume(field.scope)) ? 'MATERIALIZED' : '';
  const text = `
    WITH hits AS ${hits} (
      SELECT r.serial, ${ROW_COLUMNS}${isJoined ? ', lead.value AS lead' : ''} FROM run r ${joined} WHERE ${tests.join(' AND ')}
    ), keyed AS ${keyed} (
      SELECT h.serial, ${terms.map(({ sql }, index) => `${sql} AS o${index}`).join(', ')} FROM hits h
    )
    SELECT serial, ${named.map(({ type, sql }, index) => `${keySql(type, sql)} AS k${index}`).join(', ')}
      FROM keyed ${after === undefined ? '' : `WHERE ${afterSql(named, after, parameters)}`}
     ORDER BY ${named.map((term, index) => orderSql(term.type, term.sql, query.terms[index]!)).join(', ')}
     LIMIT ${limit}`;
  return { text, values: parameters.values };
}

function isConditionOn(filter: Filter, { scope, key }: Field): filter is Condition {
  if (filter.kind === 'and' || filter.kind === 'or') return false;
  return (
    filter.field.scope === scope &&
    filter.field.key === key &&
    !(filter.kind === 'presence' && !filter.present)
  );
}
