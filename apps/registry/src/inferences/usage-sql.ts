import { shadowConditions, within, type Statement } from './inference-sql.js';
import type { TimeRange } from './time-range.js';
import type { UsageGroup, UsageQuery } from './usage.dto.js';

/** What rows are grouped by, each with the columns that name a group. Texts compare by bytes, as cursors need it. */
const KEYS = {
  day: [['day', `to_char(started_at AT TIME ZONE 'UTC', 'YYYY-MM-DD') COLLATE "C"`]],
  team: [['team', `coalesce(team, '') COLLATE "C"`]],
  apiKey: [['apiKey', `coalesce(api_key, '') COLLATE "C"`]],
  endpoint: [['endpoint', 'endpoint']],
  chainVersion: [
    ['chain', 'chain'],
    ['chainVersion', 'chain_version'],
  ],
  modelEndpoint: [['modelEndpoint', `coalesce(model_endpoint, '') COLLATE "C"`]],
  model: [['model', `coalesce(model, '') COLLATE "C"`]],
} as const satisfies Record<UsageGroup, readonly (readonly [name: string, sql: string])[]>;

const FILTERS = {
  team: 'team',
  apiKey: 'api_key',
  endpoint: 'endpoint',
  chain: 'chain',
  modelEndpoint: 'model_endpoint',
  model: 'model',
} as const satisfies Partial<Record<keyof UsageQuery, string>>;

/** The value that stands in a key for null: no name is empty. */
export const NONE = '';

/** Names of the columns that tell one group from another, in the order in which groups are listed. */
export function keysOf(groupBy: readonly UsageGroup[]): string[] {
  return groupBy.flatMap((group) => KEYS[group].map(([name]) => name));
}

/**
 * One page of groups and one more, in order of their keys.
 * @param after key of the last group of the page before, in the order of `keysOf`.
 */
export function usageStatement(
  workspaceId: string,
  range: TimeRange,
  query: UsageQuery,
  after: readonly (string | number)[] | undefined,
): Statement {
  const { conditions, values, bind } = within(workspaceId, range);
  for (const [field, column] of Object.entries(FILTERS) as [keyof typeof FILTERS, string][])
    if (query[field] !== undefined) conditions.push(`${column} = ${bind(query[field])}`);
  conditions.push(...shadowConditions(query.shadows));
  const keys = query.groupBy.flatMap((group) => [...KEYS[group]]);
  if (after) {
    const bound = after.map((value) => `${bind(value)}::${typeof value === 'number' ? 'integer' : 'text'}`);
    conditions.push(`(${keys.map(([, sql]) => sql).join(', ')}) > (${bound.join(', ')})`);
  }
  const positions = keys.map((_, index) => index + 1).join(', ');
  return {
    text: `
      SELECT ${keys.map(([name, sql]) => `${sql} AS "${name}"`).join(', ')},
             count(*) AS requests,
             count(shadow_of) AS "shadowRequests",
             count(*) FILTER (WHERE cache_hit) AS "cacheHits",
             count(*) FILTER (WHERE status = 'ok') AS ok,
             coalesce(sum(input_tokens), 0)::bigint AS "inputTokens",
             coalesce(sum(cached_input_tokens), 0)::bigint AS "cachedInputTokens",
             coalesce(sum(cache_write_input_tokens), 0)::bigint AS "cacheWriteInputTokens",
             coalesce(sum(output_tokens), 0)::bigint AS "outputTokens",
             coalesce(sum(reasoning_tokens), 0)::bigint AS "reasoningTokens",
             coalesce(sum(cost_micro_usd), 0)::bigint AS "costMicroUsd",
             coalesce(sum(cost_micro_usd) FILTER (WHERE shadow_of IS NOT NULL), 0)::bigint AS "shadowCostMicroUsd",
             count(*) FILTER (WHERE cost_micro_usd IS NULL) AS "requestsWithoutCost"
        FROM inference WHERE ${conditions.join(' AND ')}
       GROUP BY ${positions} ORDER BY ${positions} LIMIT ${bind(query.limit + 1)}`,
    values,
  };
}
