import type { DataSource } from 'typeorm';
import { validate } from 'uuid';
import { DomainError } from '#libs/core/errors/catalogue.js';
import type { Condition, Filter, OrderTerm } from '#libs/core/search/ast.js';
import type { Caller } from '../http/caller.js';
import { filterSql, numberCondition, textCondition } from '../search/conditions.js';
import { Parameters } from '../search/parameters.js';
import { decodeCursor, pageOf, type Page } from '../http/page.js';
import type { EvaluationDataset } from './evaluation-dataset.js';

export interface DatasetQuery {
  /** Datasets of any of these experiments; absent: all. */
  readonly experiments?: readonly number[] | undefined;
  readonly filter?: Filter | undefined;
  readonly order?: readonly OrderTerm[] | undefined;
  readonly limit: number;
  readonly cursor?: string | undefined;
}

export const DATASET_COLUMNS = `
  d.id, d.name, d.tags, d.schema, d.record_count AS "recordCount", d.digest, d.created_at AS "createdAt",
  d.created_by AS "createdBy", d.updated_at AS "updatedAt", d.updated_by AS "updatedBy",
  ARRAY(SELECT e.number FROM evaluation_dataset_experiment l JOIN experiment e ON e.serial = l.experiment
         WHERE l.dataset_id = d.id ORDER BY e.number) AS experiments`;

type Key = readonly [string | number, string];

const COLUMNS: Readonly<Record<string, { readonly sql: string; readonly type: 'text' | 'float8' }>> = {
  name: { sql: 'd.name', type: 'text' },
  created_by: { sql: 'd.created_by', type: 'text' },
  last_updated_by: { sql: 'd.updated_by', type: 'text' },
  created_time: { sql: `(extract(epoch FROM d.created_at) * 1000)::float8`, type: 'float8' },
  last_update_time: { sql: `(extract(epoch FROM d.updated_at) * 1000)::float8`, type: 'float8' },
};

/** Pages of datasets. A workspace has few of them: all are read by its index of time, and ordered. */
export class DatasetSearch {
  constructor(private readonly database: DataSource) {}

  async search(caller: Caller, query: DatasetQuery): Promise<Page<EvaluationDataset>> {
    const parameters = new Parameters();
    const conditions = [`d.workspace_id = ${parameters.add(caller.workspaceId, 'uuid')}`];
    if (query.experiments !== undefined)
      conditions.push(`d.id IN (SELECT l.dataset_id FROM evaluation_dataset_experiment l JOIN experiment e ON e.serial = l.experiment
                                 WHERE e.workspace_id = d.workspace_id AND e.number = ANY(${parameters.add(query.experiments, 'int[]')}))`);
    if (query.filter !== undefined) conditions.push(filterSql(query.filter, parameters, conditionSql));
    const { column, direction } = orderOf(query.order ?? []);
    const after = decodeCursor(query.cursor, isKey(column.type));
    if (after !== undefined)
      conditions.push(
        `(${column.sql}, d.id) ${direction === 'ASC' ? '>' : '<'} (${parameters.add(after[0], column.type)}, ${parameters.add(after[1], 'uuid')})`,
      );
    const rows: (EvaluationDataset & { key: string | number })[] = await this.database.query(
      `SELECT ${DATASET_COLUMNS}, ${column.sql} AS key FROM evaluation_dataset d WHERE ${conditions.join(' AND ')}
        ORDER BY ${column.sql} ${direction}, d.id ${direction} LIMIT ${parameters.add(query.limit + 1, 'int')}`,
      parameters.values,
    );
    return pageOf(
      rows,
      query.limit,
      (row): Key => [row.key, row.id],
      (row) => {
        const { key: _, ...dataset } = row;
        return dataset;
      },
    );
  }
}

const isKey =
  (type: 'text' | 'float8') =>
  (key: unknown): key is Key =>
    Array.isArray(key) &&
    key.length === 2 &&
    typeof key[0] === (type === 'text' ? 'string' : 'number') &&
    !String(key[0]).includes('\0') &&
    validate(key[1]);

/** One field orders; the id settles ties. */
function orderOf(order: readonly OrderTerm[]): {
  column: { sql: string; type: 'text' | 'float8' };
  direction: 'ASC' | 'DESC';
} {
  const [first] = order;
  if (first === undefined) return { column: COLUMNS['created_time']!, direction: 'DESC' };
  return { column: columnOf(first.field.key), direction: first.direction === 'asc' ? 'ASC' : 'DESC' };
}

function columnOf(key: string): { sql: string; type: 'text' | 'float8' } {
  const column = COLUMNS[key];
  if (column === undefined)
    throw new DomainError(
      'VALIDATION_FAILED',
      `Evaluation datasets have no attribute "${key.slice(0, 60)}".`,
    );
  return column;
}

function conditionSql(condition: Condition, parameters: Parameters): string {
  if (condition.field.scope === 'tag')
    return textCondition(
      `(d.tags ->> ${parameters.add(condition.field.key, 'text')})`,
      condition,
      parameters,
    );
  const { sql, type } = columnOf(condition.field.key);
  return (type === 'text' ? textCondition : numberCondition)(sql, condition, parameters);
}
