import type { Condition, Field, Filter } from '#libs/core/search/ast.js';
import { conjuncts, numberCondition } from './conditions.js';
import { Parameters } from './parameters.js';
import { afterSql, keySql, orderSql, type OrderKey } from './run-order.js';
import {
  changedSql,
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
import type { Members } from './run-matches.js';
import type { Statement } from './statement.js';

/** More joins than these help no plan and make planning slow; further conditions are tested run by run. */
const MAX_SETS = 4;

/**
 * The next hits by finding all matching runs first and sorting them: for filters that few runs match, where walking
 * along the order would pass too many others.
 * @param members runs among which all that match are.
 */
export function sortStatement(
  query: RunQuery,
  after: OrderKey | undefined,
  limit: number,
  members?: Members,
): Statement {
  const parameters = new Parameters();
  const row = { serial: 'r.serial', row: 'r' };
  // Looked up one by one; an estimate of how many they are would be a guess.
  const from =
    members === undefined
      ? 'run r'
      : `unnest(${parameters.add(members.serials, 'int[]')}) m (run)
           JOIN LATERAL (SELECT * FROM run WHERE serial = m.run OFFSET 0) r ON true`;
  const tests = [
    scopeSql(query, 'r', parameters),
    `r.experiment_serial = ANY (${parameters.add(query.experiments, 'int[]')})`,
  ];
  const first = query.terms[0]!;
  // Joined once where the filter asks for it anyway, not looked up again for the order.
  const isJoined = first.field.scope === 'metric' && demands(query, first);
  const lead = `SELECT * FROM latest_metric WHERE key = ${isJoined ? parameters.add(query.keys.get(first.field.key) ?? NO_KEY, 'int') : 'NULL'}`;
  const joined = !isJoined
    ? ''
    : members === undefined
      ? `JOIN (${lead}) lead ON lead.run = r.serial`
      : `JOIN LATERAL (${lead} AND run = m.run OFFSET 0) lead ON true`;
  const filters = conjuncts(query.filter).filter((filter) => {
    if (members?.filters.includes(filter)) return false;
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
      SELECT r.serial, ${ROW_COLUMNS}${isJoined ? ', lead.value AS lead' : ''} FROM ${from} ${joined} WHERE ${tests.join(' AND ')}
    ), keyed AS ${keyed} (
      SELECT h.serial, ${terms.map(({ sql }, index) => `${sql} AS o${index}`).join(', ')} FROM hits h
    )
    SELECT serial, ${changedSql('serial')} AS changed, ${named.map(({ type, sql }, index) => `${keySql(type, sql)} AS k${index}`).join(', ')}
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
