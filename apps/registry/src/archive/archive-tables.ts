/** Goes up when a column is added; columns are never renamed, removed, or given another type. */
export const SCHEMA_VERSION = 1;

type ParquetType = 'VARCHAR' | 'INTEGER' | 'BIGINT' | 'DOUBLE' | 'BOOLEAN' | 'TIMESTAMPTZ';

/** What PostgreSQL's rows become in the archive. docs/archive.md shows it to readers. */
export interface ArchiveTable {
  /** First part of its object keys. */
  readonly name: 'inferences' | 'model_calls';
  /** Name and type of each column, in order. Ids are text: Spark reads no Parquet UUID. */
  readonly columns: Readonly<Record<string, ParquetType>>;
  /** Column by which rows are told apart from those archived before, and sorted. */
  readonly id: string;
  /** Statements that make PostgreSQL's planner choose well. */
  readonly planner: string;
  /** Rows, those of `condition` on a table `i` with the columns of `inference`, in the order of `id`. */
  select(condition: string): string;
}

const INFERENCE = {
  id: 'VARCHAR',
  started_at: 'TIMESTAMPTZ',
  workspace_id: 'VARCHAR',
  endpoint: 'VARCHAR',
  split_revision: 'INTEGER',
  arm: 'VARCHAR',
  chain: 'VARCHAR',
  chain_version: 'INTEGER',
  chain_digest: 'VARCHAR',
  unit: 'VARCHAR',
  bucket: 'INTEGER',
  sticky: 'BOOLEAN',
  assignment: 'VARCHAR',
  client_request_id: 'VARCHAR',
  status: 'VARCHAR',
  error_code: 'VARCHAR',
  error_message: 'VARCHAR',
  model_endpoint: 'VARCHAR',
  model: 'VARCHAR',
  replica: 'VARCHAR',
  attempts: 'INTEGER',
  streamed: 'BOOLEAN',
  finish_reason: 'VARCHAR',
  schema_valid: 'BOOLEAN',
  contract_outcome: 'VARCHAR',
  contract_rungs: 'VARCHAR',
  data_class: 'VARCHAR',
  api_key: 'VARCHAR',
  team: 'VARCHAR',
  shadow_of: 'VARCHAR',
  cache_hit: 'BOOLEAN',
  input_tokens: 'INTEGER',
  output_tokens: 'INTEGER',
  cached_input_tokens: 'INTEGER',
  cache_write_input_tokens: 'INTEGER',
  reasoning_tokens: 'INTEGER',
  cost_micro_usd: 'BIGINT',
  latency_ms: 'DOUBLE',
  ttft_ms: 'DOUBLE',
  dispatched_ms: 'DOUBLE',
} as const;

/** Columns of table `inference_payload`. */
const PAYLOAD = {
  metadata: 'VARCHAR',
  request: 'VARCHAR',
  response: 'VARCHAR',
  request_digest: 'VARCHAR',
  response_digest: 'VARCHAR',
} as const;

/** Columns of the view `model_call`. */
const MODEL_CALL = {
  workspace_id: 'VARCHAR',
  inference_id: 'VARCHAR',
  started_at: 'TIMESTAMPTZ',
  position: 'INTEGER',
  step: 'VARCHAR',
  model_endpoint: 'VARCHAR',
  model: 'VARCHAR',
  replica: 'VARCHAR',
  outcome: 'VARCHAR',
  http_status: 'INTEGER',
  error_code: 'VARCHAR',
  input_tokens: 'INTEGER',
  output_tokens: 'INTEGER',
  cost_micro_usd: 'BIGINT',
  offset_ms: 'DOUBLE',
  latency_ms: 'DOUBLE',
  ttft_ms: 'DOUBLE',
} as const;

const of = (alias: string, columns: object): string =>
  Object.keys(columns)
    .map((name) => `${alias}.${name}`)
    .join(', ');

export const INFERENCES: ArchiveTable = {
  name: 'inferences',
  columns: { ...INFERENCE, ...PAYLOAD },
  id: 'id',
  // Sorting or hashing bodies takes longer than following the indexes, which have the order.
  planner: 'SET LOCAL enable_sort = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_nestloop = off',
  select: (condition) =>
    `SELECT ${of('i', INFERENCE)}, ${of('p', PAYLOAD)}
       FROM inference i LEFT JOIN inference_payload p ON p.id = i.id AND p.started_at = i.started_at
      WHERE ${condition} ORDER BY i.id`,
};

export const MODEL_CALLS: ArchiveTable = {
  name: 'model_calls',
  columns: MODEL_CALL,
  id: 'inference_id',
  planner: '',
  select: (condition) =>
    `SELECT ${of('i', MODEL_CALL)} FROM model_call i WHERE ${condition} ORDER BY i.inference_id, i.position`,
};

/** In the order they are written. */
export const ARCHIVE_TABLES: readonly ArchiveTable[] = [INFERENCES, MODEL_CALLS];

/** Columns of table `inferences` without, and with, what callers sent and got. */
export const METADATA_COLUMNS = Object.keys(INFERENCE);
export const PAYLOAD_COLUMNS = Object.keys(PAYLOAD);

/** Everything of a day of one workspace lies under it, and nothing else does. */
export function dayPrefix(table: ArchiveTable['name'], workspaceId: string, day: string): string {
  return `archive/${table}/workspace=${workspaceId}/date=${day}/`;
}

/** @param attempt one of its own for every attempt: none writes, or removes, what is another's. */
export function partKey(prefix: string, part: number, attempt: string): string {
  return `${prefix}part-${String(part).padStart(5, '0')}-${attempt}.parquet`;
}
