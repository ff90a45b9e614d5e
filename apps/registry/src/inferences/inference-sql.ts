import { CONTRACT_OUTCOMES } from '#libs/core/contract/ladder.js';
import type { SummaryGroup } from './inference-summary.dto.js';
import type { InferenceQuery } from './inference.dto.js';
import type { ShadowFilter } from './shadow-filter.js';
import type { TimeRange } from './time-range.js';

export interface Statement {
  readonly text: string;
  readonly values: readonly unknown[];
}

export const ITEM_COLUMNS = `
  id, started_at AS "startedAt", endpoint, split_revision AS "splitRevision", arm, chain,
  chain_version AS "chainVersion", chain_digest AS "chainDigest", unit, bucket, sticky, assignment, status,
  error_code AS "errorCode", error_message AS "errorMessage", model_endpoint AS "modelEndpoint", model, replica,
  attempts, streamed, finish_reason AS "finishReason", schema_valid AS "schemaValid",
  contract_outcome AS "contractOutcome",
  data_class AS "dataClass", api_key AS "apiKey", team,
  shadow_of AS "shadowOf", cache_hit AS "cacheHit", input_tokens AS "inputTokens", output_tokens AS "outputTokens",
  cached_input_tokens AS "cachedInputTokens", cache_write_input_tokens AS "cacheWriteInputTokens",
  reasoning_tokens AS "reasoningTokens", cost_micro_usd AS "costMicroUsd",
  latency_ms AS "latencyMs", ttft_ms AS "ttftMs", dispatched_ms AS "dispatchedMs",
  client_request_id AS "clientRequestId"`;

const CALL = `json_build_object(
  'position', position, 'step', step, 'modelEndpoint', model_endpoint, 'model', model, 'replica', replica,
  'outcome', outcome, 'httpStatus', http_status, 'errorCode', error_code, 'inputTokens', input_tokens,
  'outputTokens', output_tokens, 'costMicroUsd', cost_micro_usd, 'offsetMs', offset_ms, 'latencyMs', latency_ms,
  'ttftMs', ttft_ms)`;

/** What a list can be asked for, but for its page. */
export type InferenceFilter = Omit<InferenceQuery, 'limit' | 'cursor'>;

const FILTERS = {
  endpoint: 'endpoint',
  arm: 'arm',
  chain: 'chain',
  chainVersion: 'chain_version',
  unit: 'unit',
  status: 'status',
  dataClass: 'data_class',
  apiKey: 'api_key',
  team: 'team',
  modelEndpoint: 'model_endpoint',
  replica: 'replica',
  contractOutcome: 'contract_outcome',
  shadowOf: 'shadow_of',
  clientRequestId: 'client_request_id',
} as const satisfies Partial<Record<keyof InferenceQuery, string>>;

/**
 * What a list is of.
 * Bounds on `started_at` leave only the partitions of the range; bounds on `id`, whose leading 48 bits are the same
 * time, make the range an interval of each index. A filter that is not asked for is not in the text, so that the
 * planner sees what it can use.
 * @param before id of the last row of the page before.
 */
export function listCondition(
  workspaceId: string,
  range: TimeRange,
  query: InferenceFilter,
  before: string | undefined,
): Statement & { bind: (value: unknown) => string } {
  const { conditions, values, bind } = within(workspaceId, range);
  for (const [field, column] of Object.entries(FILTERS) as [keyof typeof FILTERS, string][])
    if (query[field] !== undefined) conditions.push(`${column} = ${bind(query[field])}`);
  conditions.push(...shadowConditions(query.shadowOf === undefined ? query.shadows : 'only'));
  if (before !== undefined) conditions.push(`id < ${bind(before)}`);
  return { text: conditions.join(' AND '), values, bind };
}

/** One page and one row more, newest first. */
export function listStatement(
  workspaceId: string,
  range: TimeRange,
  query: InferenceQuery,
  before: string | undefined,
): Statement {
  const { text, values, bind } = listCondition(workspaceId, range, query, before);
  return {
    text: `SELECT ${ITEM_COLUMNS} FROM inference WHERE ${text} ORDER BY id DESC LIMIT ${bind(query.limit + 1)}`,
    values,
  };
}

/** One row with everything. The time inside the id names the partitions. */
export function getStatement(workspaceId: string, id: string): Statement {
  const startedAt = uuidTimeMs(id);
  const isIt = (column: string) =>
    `workspace_id = $1 AND ${column} = $2 AND started_at >= $3 AND started_at < $4`;
  return {
    text: `SELECT found.*, payload.*,
                  (SELECT json_agg(${CALL} ORDER BY position) FROM model_call WHERE ${isIt('inference_id')}) AS "modelCalls"
             FROM (SELECT ${ITEM_COLUMNS}, contract_rungs AS "contractRungs" FROM inference WHERE ${isIt('id')}) AS found
             LEFT JOIN (SELECT true AS "hasPayload", metadata, request, response,
                               request_digest AS "requestDigest", response_digest AS "responseDigest"
                          FROM inference_payload WHERE ${isIt('id')}) AS payload ON true`,
    values: [workspaceId, id, new Date(startedAt), new Date(startedAt + 1)],
  };
}

/**
 * The same of the archive: a row with its payload, and the model calls that lie in files of their own, each an object
 * `call`.
 * @param id in lower case: there it is text.
 */
export function archivedStatements(workspaceId: string, id: string): { row: Statement; calls: Statement } {
  const values = [workspaceId, id];
  return {
    row: {
      text: `SELECT ${ITEM_COLUMNS}, contract_rungs AS "contractRungs", metadata, request, response,
                    request_digest AS "requestDigest", response_digest AS "responseDigest",
                    coalesce(request, request_digest) IS NOT NULL AS "hasPayload"
               FROM inference WHERE workspace_id = $1 AND id = $2`,
      values,
    },
    calls: {
      text: `SELECT ${CALL} AS call FROM model_call WHERE workspace_id = $1 AND inference_id = $2 ORDER BY position`,
      values,
    },
  };
}

/** The rows of an endpoint that a summary adds up. */
export function summaryCondition(workspaceId: string, range: TimeRange, endpoint: string): Statement {
  const { conditions, values, bind } = within(workspaceId, range);
  conditions.push(`endpoint = ${bind(endpoint)}`);
  return { text: conditions.join(' AND '), values };
}

/** What of them a summary needs. */
export const SUMMARY_COLUMNS = [
  'id',
  'workspace_id',
  'started_at',
  'endpoint',
  'arm',
  'chain',
  'chain_version',
  'shadow_of',
  'cache_hit',
  'status',
  'schema_valid',
  'contract_outcome',
  'input_tokens',
  'output_tokens',
  'cost_micro_usd',
  'latency_ms',
  'ttft_ms',
] as const;

const GROUP_COLUMNS: Record<SummaryGroup, string> = {
  chainVersion: 'NULL::text AS arm, chain, chain_version AS "chainVersion", shadow_of IS NOT NULL AS shadow',
  arm: 'arm, NULL::text AS chain, NULL::integer AS "chainVersion", shadow_of IS NOT NULL AS shadow',
};

/**
 * Figures per group of one endpoint. Percentiles are of requests that were answered by a model, interpolated
 * (PERCENTILE_CONT).
 */
export function summaryStatement(
  workspaceId: string,
  range: TimeRange,
  endpoint: string,
  groupBy: SummaryGroup,
): Statement {
  const condition = summaryCondition(workspaceId, range, endpoint);
  const percentiles = (column: string): string =>
    [0.5, 0.95]
      .map(
        (at) =>
          `percentile_cont(${at}) WITHIN GROUP (ORDER BY ${column}) FILTER (WHERE status = 'ok' AND cache_hit IS NOT TRUE)`,
      )
      .map((sql, index) => `'${['p50', 'p95'][index]}', ${sql}`)
      .join(', ');
  const outcomes = CONTRACT_OUTCOMES.map(
    (outcome) => `'${outcome}', nullif(count(*) FILTER (WHERE contract_outcome = '${outcome}'), 0)`,
  ).join(', ');
  return {
    text: `
      SELECT ${GROUP_COLUMNS[groupBy]},
             count(*) AS requests,
             count(*) FILTER (WHERE status = 'ok') AS ok,
             count(*) FILTER (WHERE status IN ('error', 'interrupted')) AS errors,
             count(*) FILTER (WHERE status = 'cancelled') AS cancelled,
             count(*) FILTER (WHERE cache_hit) AS "cacheHits",
             avg(schema_valid::integer)::double precision AS "schemaValidRate",
             json_strip_nulls(json_build_object(${outcomes})) AS "contractOutcomes",
             json_build_object(${percentiles('latency_ms')}) AS "latencyMs",
             json_build_object(${percentiles('ttft_ms')}) AS "ttftMs",
             coalesce(sum(input_tokens), 0)::bigint AS "inputTokens",
             coalesce(sum(output_tokens), 0)::bigint AS "outputTokens",
             coalesce(sum(cost_micro_usd), 0)::bigint AS "costMicroUsd"
        FROM inference WHERE ${condition.text}
       GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4`,
    values: condition.values,
  };
}

/** What lists and sums take of the rows of shadows. */
export function shadowConditions(shadows: ShadowFilter): string[] {
  if (shadows === 'include') return [];
  return [shadows === 'only' ? 'shadow_of IS NOT NULL' : 'shadow_of IS NULL'];
}

/** The conditions that every statement over a time range begins with. */
export function within(
  workspaceId: string,
  { from, to }: TimeRange,
): { conditions: string[]; values: unknown[]; bind: (value: unknown) => string } {
  const values: unknown[] = [];
  const bind = (value: unknown): string => `$${values.push(value)}`;
  const conditions = [
    `workspace_id = ${bind(workspaceId)}`,
    `started_at >= ${bind(from)}`,
    `started_at < ${bind(to)}`,
    `id >= ${bind(firstUuidAt(from.getTime()))}`,
    `id < ${bind(firstUuidAt(to.getTime()))}`,
  ];
  return { conditions, values, bind };
}

/** The smallest UUID whose first 48 bits are this time (RFC 9562 §5.7); no UUIDv7 of an earlier time lies above it. */
function firstUuidAt(timeMs: number): string {
  const hex = Math.max(0, timeMs).toString(16).padStart(12, '0');
  return `${hex.slice(0, 8)}-${hex.slice(8)}-0000-0000-000000000000`;
}

/** The Unix time in milliseconds inside a UUIDv7. */
function uuidTimeMs(id: string): number {
  return Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16);
}
