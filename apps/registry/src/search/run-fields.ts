import type { Condition, Field, Filter } from '#libs/core/search/ast.js';
import {
  hexId,
  idCondition,
  numberCondition,
  rowCondition,
  textCondition,
  timeCondition,
} from './conditions.js';
import type { Parameters } from './parameters.js';

/** Ids of the keys that a filter and an order name. Rows of keys that were never logged have no id. */
export type KeyIds = ReadonlyMap<string, number>;

/** No key has it. */
export const NO_KEY = -1;

export const VOLUME_TABLES = { metric: 'latest_metric', param: 'param', tag: 'run_tag' } as const;
export type VolumeScope = keyof typeof VOLUME_TABLES;

export const isVolume = (scope: Field['scope']): scope is VolumeScope => Object.hasOwn(VOLUME_TABLES, scope);

/** Where the tests of one run read from. */
export interface RunSource {
  /** SQL of its serial. */
  readonly serial: string;
  /** Alias of its row of `run`. */
  readonly row: string;
}

/** As the MLflow protocol gives it to clients. */
function artifactUri(row: string): string {
  return `(SELECT coalesce(e.artifact_location, 'mlflow-artifacts:/' || e.number) || '/' || ${hexId(`${row}.id`)} || '/artifacts'
             FROM experiment e WHERE e.serial = ${row}.experiment_serial)`;
}

/** Text and time attributes of a run. */
export function attributeSql(key: string, row: string): string {
  switch (key) {
    case 'run_id':
      return `${row}.id`;
    case 'run_name':
      return `${row}.name`;
    case 'user_id':
      return `${row}.created_by`;
    case 'status':
      return `${row}.status`;
    case 'start_time':
      return `${row}.started_at`;
    case 'end_time':
      return `${row}.ended_at`;
    case 'artifact_uri':
      return artifactUri(row);
    default:
      throw new TypeError(`Runs have no attribute ${key}`);
  }
}

/** A condition as a test of one run, by look-ups in primary keys. */
export function runTest(source: RunSource, keys: KeyIds) {
  return (condition: Condition, parameters: Parameters): string => {
    const { scope, key } = condition.field;
    if (isVolume(scope)) {
      const from = `${VOLUME_TABLES[scope]} WHERE run = ${source.serial} AND key = ${parameters.add(keys.get(key) ?? NO_KEY, 'int')}`;
      return rowCondition(from, condition, () => volumeCondition(scope, condition, parameters));
    }
    if (scope === 'dataset')
      return `(SELECT bool_or(${datasetCondition(condition, parameters)})
                 FROM run_dataset i JOIN dataset d ON d.id = i.dataset_id WHERE i.run = ${source.serial})`;
    return attributeCondition(source.row, condition, parameters);
  };
}

/** Whether a test needs the row of the run, not only its serial. */
export function needsRow(filter: Filter): boolean {
  if (filter.kind === 'and' || filter.kind === 'or') return filter.operands.some(needsRow);
  return filter.field.scope === 'attribute';
}

/**
 * Serials of all runs that match a condition, read from an index of what was logged: `SELECT run FROM …`.
 * @returns undefined where no index knows: attributes, and keys that must be absent.
 */
export function runSet(
  condition: Condition,
  experiments: readonly number[],
  keys: KeyIds,
  parameters: Parameters,
): string | undefined {
  const { scope, key } = condition.field;
  if (scope === 'dataset')
    return `SELECT i.run FROM dataset d JOIN run_dataset i ON i.dataset_id = d.id
             WHERE d.experiment = ANY (${parameters.add(experiments, 'int[]')}) AND ${datasetCondition(condition, parameters)}`;
  if (!isVolume(scope) || (condition.kind === 'presence' && !condition.present)) return undefined;
  // Of one experiment the runs come in order from the index, ready to be merged.
  const among =
    experiments.length === 1
      ? `= ${parameters.add(experiments[0], 'int')}`
      : `= ANY (${parameters.add(experiments, 'int[]')})`;
  const from = `SELECT run FROM ${VOLUME_TABLES[scope]} WHERE experiment ${among}
                   AND key = ${parameters.add(keys.get(key) ?? NO_KEY, 'int')}`;
  return condition.kind === 'presence'
    ? from
    : `${from} AND ${indexedCondition(scope, condition, parameters)}`;
}

/** Characters of a text that its index holds: the column `head`. */
export const HEAD_LENGTH = 128;

/** `volumeCondition`, said in a way the index of the table can answer, where there is one. */
export function indexedCondition(scope: VolumeScope, condition: Condition, parameters: Parameters): string {
  const test = (): string => volumeCondition(scope, condition, parameters);
  if (scope === 'metric' || condition.kind !== 'compare' || condition.operator !== '=') return test();
  const text = Array.from(String(condition.value));
  const head = `head = ${parameters.add(text.slice(0, HEAD_LENGTH).join(''), 'text')}`;
  // A shorter text is known as a whole.
  return text.length < HEAD_LENGTH ? head : `${head} AND ${test()}`;
}

/** A test of the column `value` of a volume table. */
export function volumeCondition(scope: VolumeScope, condition: Condition, parameters: Parameters): string {
  return (scope === 'metric' ? numberCondition : textCondition)('value', condition, parameters);
}

function datasetCondition(condition: Condition, parameters: Parameters): string {
  const { key } = condition.field;
  const sql =
    key === 'context' ? `(i.tags ->> 'mlflow.data.context')` : key === 'name' ? 'd.name' : 'd.digest';
  return textCondition(sql, condition, parameters);
}

function attributeCondition(row: string, condition: Condition, parameters: Parameters): string {
  const { key } = condition.field;
  const sql = attributeSql(key, row);
  if (key === 'run_id') return idCondition(sql, condition, parameters);
  return (key === 'start_time' || key === 'end_time' ? timeCondition : textCondition)(
    sql,
    condition,
    parameters,
  );
}
