/*
 * PostgreSQL's binary COPY format: https://www.postgresql.org/docs/current/sql-copy.html#SQL-COPY-FILE-FORMATS
 */

/** Signature, flags and the length of a header extension there is none of. */
export const COPY_HEADER = Buffer.from('PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0', 'latin1');
export const COPY_TRAILER = Buffer.from([0xff, 0xff]);
/** Microseconds from the Unix epoch to PostgreSQL's, 2000-01-01. */
export const EPOCH_US = 946_684_800_000_000;

export type CopyType = 'uuid' | 'time' | 'text' | 'int2' | 'int4' | 'int8' | 'float8' | 'bool' | 'jsonb';

type Columns = readonly (readonly [name: string, type: CopyType])[];

/** Columns of table `inference` in the order in which a row is written, with the type each is written as. */
export const INFERENCE_COLUMNS = [
  ['id', 'uuid'],
  ['started_at', 'time'],
  ['workspace_id', 'uuid'],
  ['endpoint', 'text'],
  ['split_revision', 'int4'],
  ['arm', 'text'],
  ['chain', 'text'],
  ['chain_version', 'int4'],
  ['chain_digest', 'text'],
  ['unit', 'text'],
  ['bucket', 'int2'],
  ['sticky', 'bool'],
  ['assignment', 'text'],
  ['streamed', 'bool'],
  ['data_class', 'text'],
  ['api_key', 'text'],
  ['team', 'text'],
  ['shadow_of', 'uuid'],
  ['cache_hit', 'bool'],
  ['client_request_id', 'text'],
  ['status', 'text'],
  ['error_code', 'text'],
  ['error_message', 'text'],
  ['model_endpoint', 'text'],
  ['model', 'text'],
  ['replica', 'text'],
  ['attempts', 'int2'],
  ['finish_reason', 'text'],
  ['schema_valid', 'bool'],
  ['input_tokens', 'int4'],
  ['output_tokens', 'int4'],
  ['cost_micro_usd', 'int8'],
  ['latency_ms', 'float8'],
  ['ttft_ms', 'float8'],
  ['cached_input_tokens', 'int4'],
  ['cache_write_input_tokens', 'int4'],
  ['reasoning_tokens', 'int4'],
  ['contract_outcome', 'text'],
  ['contract_rungs', 'jsonb'],
  ['dispatched_ms', 'float8'],
  ['model_calls', 'jsonb'],
] as const satisfies Columns;

/** Columns of table `inference_payload`. The first three are those an inference begins with too. */
export const PAYLOAD_COLUMNS = [
  ['id', 'uuid'],
  ['started_at', 'time'],
  ['workspace_id', 'uuid'],
  ['metadata', 'text'],
  ['request', 'text'],
  ['response', 'text'],
] as const satisfies Columns;
/** Bytes of id, time and workspace, each with its length. */
export const ROW_KEY_BYTES = 20 + 12 + 20;
