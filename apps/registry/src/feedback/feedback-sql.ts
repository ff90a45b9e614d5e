import type { Statement } from '../inferences/inference-sql.js';
import type { TimeRange } from '../inferences/time-range.js';
import type { FeedbackQuery } from './feedback.dto.js';
import type { FeedbackSummaryQuery } from './feedback-summary.dto.js';

const ITEM = `
  id, event_id AS "eventId", inference_id AS "inferenceId", client_request_id AS "clientRequestId", unit, endpoint,
  name, kind,
  CASE kind WHEN 'boolean' THEN to_jsonb(number_value = 1) WHEN 'number' THEN to_jsonb(number_value)
            ELSE to_jsonb(text_value) END AS value,
  source, source_id AS "sourceId", comment, metadata, given_at AS "givenAt", received_at AS "receivedAt", latest,
  CASE WHEN matched_inference_id IS NOT NULL THEN jsonb_build_object(
    'inferenceId', matched_inference_id, 'startedAt', to_char(matched_started_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
    'endpoint', matched_endpoint, 'unit', matched_unit, 'splitRevision', split_revision, 'arm', arm, 'chain', chain,
    'chainVersion', chain_version) END AS match`;

/** Subject of what is about an inference: see the column of the table. */
const subjectOf = (inferenceId: string): string => `inference:${inferenceId.toLowerCase()}`;

/**
 * One page and one more, received last first.
 * @param range by the time of receipt; undefined: any.
 * @param before id of the last item of the page before.
 */
export function listStatement(
  workspaceId: string,
  query: Omit<FeedbackQuery, 'cursor' | 'from' | 'to'>,
  range: TimeRange | undefined,
  before: string | undefined,
): Statement {
  const values: unknown[] = [];
  const bind = (value: unknown): string => `$${values.push(value)}`;
  const conditions = [`workspace_id = ${bind(workspaceId)}`];
  const { inferenceId, clientRequestId, unit, endpoint, name, matched, latest } = query;
  if (inferenceId !== undefined)
    conditions.push(`(subject = ${bind(subjectOf(inferenceId))} OR inference_id = ${bind(inferenceId)})`);
  if (clientRequestId !== undefined) conditions.push(`client_request_id = ${bind(clientRequestId)}`);
  if (unit !== undefined) conditions.push(`(unit = ${bind(unit)} OR matched_unit = ${bind(unit)})`);
  if (endpoint !== undefined) conditions.push(`coalesce(matched_endpoint, endpoint) = ${bind(endpoint)}`);
  if (name !== undefined) conditions.push(`name = ${bind(name)}`);
  if (matched !== undefined) conditions.push(`matched_inference_id IS ${matched ? 'NOT NULL' : 'NULL'}`);
  if (latest !== undefined) conditions.push(`latest IS ${latest ? '' : 'NOT '}TRUE`);
  if (range) {
    // Ids begin with the time of receipt.
    conditions.push(`id > catena_last_uuid_at(${bind(range.from)}::timestamptz - interval '1 millisecond')`);
    conditions.push(`id <= catena_last_uuid_at(${bind(range.to)}::timestamptz - interval '1 millisecond')`);
  }
  if (before !== undefined) conditions.push(`id < ${bind(before)}`);
  return {
    text: `SELECT ${ITEM} FROM feedback WHERE ${conditions.join(' AND ')} ORDER BY id DESC LIMIT ${bind(query.limit + 1)}`,
    values,
  };
}

/** Judgements that count, of the inferences begun in a time range. */
export function summaryStatement(
  workspaceId: string,
  range: TimeRange,
  { endpoint, groupBy }: FeedbackSummaryQuery,
): Statement {
  const group =
    groupBy === 'arm'
      ? 'arm, NULL::text AS chain, NULL::integer AS "chainVersion"'
      : 'NULL::text AS arm, chain, chain_version AS "chainVersion"';
  return {
    text: `
      SELECT name, kind, arm, chain, "chainVersion", sum(times)::bigint AS judgements,
             sum(total) / sum(times) AS mean,
             CASE WHEN kind = 'category' THEN json_object_agg(category, times ORDER BY times DESC, category) END AS categories
        FROM (SELECT name, kind, ${group}, CASE WHEN kind = 'category' THEN text_value ELSE '' END AS category,
                     count(*) AS times, sum(number_value) AS total
                FROM feedback
               WHERE workspace_id = $1 AND matched_endpoint = $2 AND matched_started_at >= $3 AND matched_started_at < $4
                 AND matched_inference_id IS NOT NULL AND latest
               GROUP BY 1, 2, 3, 4, 5, 6) each
       GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5`,
    values: [workspaceId, endpoint, range.from, range.to],
  };
}

/** How many have no inference yet, and the oldest of those received before $1. */
export const UNMATCHED_STATEMENT = {
  name: 'feedback-unmatched',
  text: `SELECT count(*) AS unmatched, count(*) FILTER (WHERE id <= catena_last_uuid_at($1)) AS old
           FROM feedback WHERE matched_inference_id IS NULL`,
};
