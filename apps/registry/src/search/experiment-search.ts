import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import type { Condition, Filter, OrderTerm } from '#libs/core/search/ast.js';
import { printFilter, printOrderBy } from '#libs/core/search/print-filter.js';
import type { Experiment } from '../experiments/experiment.entity.js';
import type { Caller } from '../http/caller.js';
import { filterSql, integerCondition, textCondition, timeCondition } from './conditions.js';
import { Parameters } from './parameters.js';
import { afterSql, isKeyText, keySql, type SqlTerm, type TermType } from './run-order.js';
import { lifecycleSql, type Lifecycle } from './run-query.js';
import { SearchCursors } from './search-cursor.js';

export interface ExperimentSearchGiven {
  /** See `readFilter`. */
  readonly filter: Filter | null;
  /** See `readOrderBy`. Where it is empty: newest first. */
  readonly orderBy: readonly OrderTerm[];
  readonly lifecycle: Lifecycle;
  /** Most experiments of the page, at least 1. */
  readonly limit: number;
  /** `nextCursor` of the page before. */
  readonly cursor?: string | undefined;
}

export interface ExperimentPage {
  readonly experiments: readonly Experiment[];
  /** Null on the last page. */
  readonly nextCursor: string | null;
}

const COLUMNS: Readonly<Record<string, { readonly sql: string; readonly type: TermType }>> = {
  name: { sql: 'e.name', type: 'text' },
  experiment_id: { sql: 'e.number', type: 'integer' },
  creation_time: { sql: 'e.created_at', type: 'time' },
  last_update_time: { sql: 'e.updated_at', type: 'time' },
};

const NUMBER = { scope: 'attribute', key: 'experiment_id' } as const;
const NEWEST: readonly OrderTerm[] = [
  { field: { scope: 'attribute', key: 'creation_time' }, direction: 'desc' },
  { field: NUMBER, direction: 'asc' },
];

/** Finds experiments of a workspace by filter and order, page by page. */
@Injectable()
export class ExperimentSearch {
  constructor(private readonly database: DataSource) {}

  /** @throws DomainError INVALID_CURSOR. */
  async search(caller: Caller, given: ExperimentSearchGiven): Promise<ExperimentPage> {
    const { filter, lifecycle, limit } = given;
    const terms = totalOrder(given.orderBy);
    const cursors = new SearchCursors([
      'experiments',
      caller.workspaceId,
      filter && printFilter(filter),
      printOrderBy(given.orderBy),
      lifecycle,
    ]);
    const sqlTerms: SqlTerm[] = terms.map(({ field, direction }) => ({ ...COLUMNS[field.key]!, direction }));
    const after = cursors.read(given.cursor, terms.length, (text, index) =>
      isKeyText(sqlTerms[index]!.type, text),
    );
    const parameters = new Parameters();
    const tests = [
      `e.workspace_id = ${parameters.add(caller.workspaceId, 'uuid')}`,
      lifecycleSql(lifecycle, 'e'),
      ...(filter === null ? [] : [filterSql(filter, parameters, experimentTest)]),
      ...(after === undefined ? [] : [afterSql(sqlTerms, after, parameters)]),
    ];
    const rows: (Experiment & Record<KeyName, string | null>)[] = await this.database.query(
      `SELECT e.id, e.serial, e.workspace_id AS "workspaceId", e.number, e.name, e.artifact_location AS "artifactLocation",
              e.tags, e.created_at AS "createdAt", e.created_by AS "createdBy", e.updated_at AS "updatedAt",
              e.deleted_at AS "deletedAt", ${sqlTerms.map(({ type, sql }, index) => `${keySql(type, sql)} AS k${index}`).join(', ')}
         FROM experiment e WHERE ${tests.join(' AND ')}
        ORDER BY ${sqlTerms.map(({ sql, direction }) => `${sql} ${direction}`).join(', ')}
        LIMIT ${limit + 1}`,
      parameters.values,
    );
    const keys = rows.map((row) => terms.map((_, index) => takeKey(row, `k${index}`)));
    return {
      experiments: rows.slice(0, limit),
      nextCursor: rows.length > limit ? cursors.write(keys[limit - 1]!) : null,
    };
  }
}

/** Ties of an order of one's own go to the newer experiment, as in MLflow. */
function totalOrder(terms: readonly OrderTerm[]): readonly OrderTerm[] {
  if (terms.length === 0) return NEWEST;
  return terms.some(({ field }) => field.key === NUMBER.key)
    ? terms
    : [...terms, { field: NUMBER, direction: 'desc' }];
}

function experimentTest(condition: Condition, parameters: Parameters): string {
  const { scope, key } = condition.field;
  if (scope === 'tag') return tagTest(condition, parameters);
  const { sql, type } = COLUMNS[key]!;
  if (type === 'time') return timeCondition(sql, condition, parameters);
  if (type === 'text') return textCondition(sql, condition, parameters);
  // Numbers of experiments come in quotes.
  return integerCondition(
    sql,
    condition.kind === 'compare' ? { ...condition, value: Number(condition.value) } : condition,
    parameters,
  );
}

function tagTest(condition: Condition, parameters: Parameters): string {
  const value = `(e.tags ->> ${parameters.add(condition.field.key, 'text')})`;
  return textCondition(value, condition, parameters);
}

type KeyName = `k${number}`;

function takeKey(row: Partial<Record<KeyName, string | null>>, name: KeyName): string | null {
  const value = row[name] ?? null;
  delete row[name];
  return value;
}
