import type pg from 'pg';
import { v7 } from 'uuid';
import type { InferenceRow } from '../../libs/core/inference/inference-row.js';
import { DEFAULT_WORKSPACE_ID } from '../../libs/platform/database/default-workspace.js';

/** An inference row with plausible fields; its id is made from `startedAt`. */
export function inferenceRow(fields: Partial<InferenceRow> & { startedAt: string }): InferenceRow {
  return {
    id: v7({ msecs: Date.parse(fields.startedAt) }),
    workspaceId: DEFAULT_WORKSPACE_ID,
    endpoint: 'support-bot',
    splitRevision: 1,
    arm: 'control',
    chain: 'support',
    chainVersion: 1,
    chainDigest: `sha256:${'1'.repeat(64)}`,
    unit: 'user-1',
    bucket: 17,
    sticky: true,
    assignment: 'split',
    streamed: false,
    metadata: null,
    dataClass: 'internal',
    apiKey: null,
    team: null,
    shadowOf: null,
    cacheHit: null,
    clientRequestId: null,
    request: '{"model":"llama-8b","messages":[]}',
    status: 'ok',
    errorCode: null,
    errorMessage: null,
    modelEndpoint: 'gpu',
    model: 'llama-8b',
    replica: 'http://127.0.0.1:8000/v1',
    attempts: 1,
    finishReason: 'stop',
    schemaValid: null,
    inputTokens: 100,
    outputTokens: 20,
    cachedInputTokens: null,
    cacheWriteInputTokens: null,
    reasoningTokens: null,
    contractOutcome: null,
    contractRungs: null,
    costMicroUsd: 30,
    latencyMs: 200,
    ttftMs: 50,
    dispatchedMs: 1,
    modelCalls: null,
    response: '{"choices":[]}',
    ...fields,
  };
}

/** Both tables of an inference, for tests to select from. */
export const WHOLE_INFERENCE = 'inference LEFT JOIN inference_payload USING (id, started_at, workspace_id)';

const PAYLOAD = 'id, started_at, workspace_id, metadata, request, response';

/** Inserts rows and their payloads, partitions included. */
export async function insertInferences(client: pg.Client, rows: readonly InferenceRow[]): Promise<void> {
  for (const day of new Set(rows.map((row) => row.startedAt.slice(0, 10))))
    await client.query('SELECT catena_ensure_inference_partition($1)', [day]);
  const snake = (name: string) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  const columns = Object.keys(rows[0]!)
    .filter((name) => !['metadata', 'request', 'response'].includes(name))
    .map(snake)
    .join(', ');
  const records = rows.map((row) =>
    Object.fromEntries(Object.entries(row).map(([name, value]) => [snake(name), value])),
  );
  for (const [table, names] of [
    ['inference', columns],
    ['inference_payload', PAYLOAD],
  ])
    await client.query(
      `INSERT INTO ${table} (${names}) SELECT ${names} FROM json_populate_recordset(NULL::${table}, $1)`,
      [JSON.stringify(records)],
    );
}
