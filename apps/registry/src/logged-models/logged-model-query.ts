import type { Condition, Field, Filter, OrderTerm } from '#libs/core/search/ast.js';
import {
  filterSql,
  idCondition,
  numberCondition,
  textCondition,
  timeCondition,
} from '../search/conditions.js';
import type { Parameters } from '../search/parameters.js';
import { NO_KEY, type KeyIds } from '../search/run-fields.js';
import type { SqlTerm, TermType } from '../search/run-order.js';

/** A dataset that metrics were computed on; without a digest, all of that name. */
export interface DatasetRef {
  readonly name: string;
  readonly digest?: string | undefined;
}

/** One term of the order; that of a metric may look at the values of one dataset only. */
export interface ModelOrderTerm extends OrderTerm {
  readonly dataset?: { readonly name?: string | undefined; readonly digest?: string | undefined } | undefined;
}

const COLUMNS: Readonly<Record<string, string>> = {
  name: 'm.name',
  model_id: 'm.id',
  model_type: 'm.model_type',
  status: 'm.status',
  source_run_id: 'm.source_run_id',
  creation_timestamp_ms: 'm.created_at',
  last_updated_timestamp_ms: 'm.updated_at',
};

/** A filter as a test of the row `m`; metrics count where they were computed on one of the datasets, if any are named. */
export function modelFilterSql(
  filter: Filter | null,
  datasets: readonly DatasetRef[],
  keys: KeyIds,
  parameters: Parameters,
): string {
  const onDatasets = datasetsSql(datasets, parameters);
  const tests = filter
    ? [filterSql(filter, parameters, (condition) => conditionSql(condition, onDatasets, keys, parameters))]
    : [];
  if (onDatasets !== '' && !(filter && mentionsMetric(filter)))
    tests.push(`EXISTS (SELECT FROM logged_model_metric x WHERE x.logged_model_id = m.id${onDatasets})`);
  return tests.length === 0 ? 'true' : tests.join(' AND ');
}

function conditionSql(
  condition: Condition,
  onDatasets: string,
  keys: KeyIds,
  parameters: Parameters,
): string {
  const { scope, key } = condition.field;
  if (scope === 'param' || scope === 'tag')
    return textCondition(`(m.${scope}s ->> ${parameters.add(key, 'text')})`, condition, parameters);
  if (scope !== 'metric') return attributeCondition(key, condition, parameters);
  return `EXISTS (SELECT FROM logged_model_metric x
                       WHERE x.logged_model_id = m.id AND x.key = ${keyId(keys, key, parameters)}${onDatasets}
                         AND ${numberCondition('x.value', condition, parameters)})`;
}

function attributeCondition(key: string, condition: Condition, parameters: Parameters): string {
  const sql = COLUMNS[key]!;
  switch (key) {
    case 'model_id':
      return idCondition(sql, condition, parameters, 'm-');
    case 'source_run_id':
      return sourceRunCondition(condition, parameters);
    case 'creation_timestamp_ms':
    case 'last_updated_timestamp_ms':
      return timeCondition(sql, condition, parameters);
    case 'status':
      return textCondition(sql, withOurStatus(condition), parameters);
    default:
      return textCondition(sql, condition, parameters);
  }
}

/** A run of here by its id, one of elsewhere as its client named it. */
function sourceRunCondition(condition: Condition, parameters: Parameters): string {
  const here = idCondition('m.source_run_id', condition, parameters);
  const elsewhere = textCondition('m.foreign_run', condition, parameters);
  const excludes =
    (condition.kind === 'compare' && condition.operator === '!=') ||
    (condition.kind === 'in' && condition.negated);
  // Of the two columns, one at most has a value.
  return excludes
    ? `CASE WHEN m.foreign_run IS NULL THEN ${here} ELSE ${elsewhere} END`
    : `(${here} OR ${elsewhere})`;
}

/** Statuses may be written as MLflow's protocol does: `LOGGED_MODEL_UPLOAD_FAILED`. */
function withOurStatus(condition: Condition): Condition {
  const ours = (value: string): string => value.replace(/^LOGGED_MODEL_/, '').replace(/^UPLOAD_/, '');
  if (condition.kind === 'compare') return { ...condition, value: ours(String(condition.value)) };
  return condition.kind === 'in' ? { ...condition, values: condition.values.map(ours) } : condition;
}

function mentionsMetric(filter: Filter): boolean {
  if (filter.kind === 'and' || filter.kind === 'or') return filter.operands.some(mentionsMetric);
  return filter.field.scope === 'metric';
}

function datasetsSql(datasets: readonly DatasetRef[], parameters: Parameters): string {
  if (datasets.length === 0) return '';
  const each = datasets.map(({ name, digest }) => datasetSql({ name, digest }, parameters));
  return ` AND (${each.join(' OR ')})`;
}

function datasetSql(dataset: NonNullable<ModelOrderTerm['dataset']>, parameters: Parameters): string {
  const tests = (['name', 'digest'] as const).flatMap((part) =>
    dataset[part] ? [`x.dataset_${part} = ${parameters.add(dataset[part], 'text')}`] : [],
  );
  return tests.length === 0 ? 'true' : `(${tests.join(' AND ')})`;
}

/** An order made total, as MLflow does: newest first, then by id. */
export function totalOrder(terms: readonly ModelOrderTerm[]): readonly ModelOrderTerm[] {
  const names = (key: string): boolean =>
    terms.some(({ field }) => field.scope === 'attribute' && field.key === key);
  const missing: ModelOrderTerm[] = [];
  if (!names('creation_timestamp_ms'))
    missing.push({ field: { scope: 'attribute', key: 'creation_timestamp_ms' }, direction: 'desc' });
  if (!names('model_id')) missing.push({ field: { scope: 'attribute', key: 'model_id' }, direction: 'asc' });
  return [...terms, ...missing];
}

export function sqlTerm(term: ModelOrderTerm, keys: KeyIds, parameters: Parameters): SqlTerm {
  const { field, direction } = term;
  return { type: termType(field), direction, sql: termSql(term, keys, parameters) };
}

export function termType({ scope, key }: Field): TermType {
  if (scope === 'metric') return 'metric';
  if (key === 'model_id' || key === 'source_run_id') return 'id';
  return key.endsWith('_timestamp_ms') ? 'time' : 'text';
}

function termSql({ field, dataset }: ModelOrderTerm, keys: KeyIds, parameters: Parameters): string {
  if (field.scope !== 'metric') return COLUMNS[field.key]!;
  return `(SELECT x.value FROM logged_model_metric x
            WHERE x.logged_model_id = m.id AND x.key = ${keyId(keys, field.key, parameters)}
              AND ${datasetSql(dataset ?? {}, parameters)}
            ORDER BY x.time_ms DESC, x.step DESC, x.run LIMIT 1)`;
}

function keyId(keys: KeyIds, name: string, parameters: Parameters): string {
  return parameters.add(keys.get(name) ?? NO_KEY, 'int');
}
