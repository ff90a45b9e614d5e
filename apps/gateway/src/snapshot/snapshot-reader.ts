import type { ClientBase } from 'pg';
import type { ApiKeyRecord } from '../callers/key-ring.js';
import type { LimitRecord } from '../limits/limit-record.js';
import type { ChainRecord, EndpointRecord, ModelEndpointRecord, PromptRecord } from './records.js';

export interface Head {
  readonly epoch: string;
  readonly seq: number;
  /** Of the change with this number. Numbers repeat after a restore from a backup, the stamps of changes do not. */
  readonly stamp: string;
}

export interface Changes {
  readonly head: Head;
  readonly endpointIds: readonly string[];
  readonly modelEndpointIds: readonly string[];
  readonly apiKeyIds: readonly string[];
  readonly limitIds: readonly string[];
}

/** Rows per query: enough to make round trips cheap, few enough that decoding them never holds the event loop long. */
const BATCH = 1_000;

/** Where the change feed stands. */
export async function readHead(client: ClientBase): Promise<Head> {
  const { rows } = await client.query<Head>({
    name: 'catena-head',
    text: `SELECT h.epoch, h.seq, ${STAMP} AS stamp FROM change_head h LEFT JOIN change c ON c.seq = h.seq`,
  });
  return rows[0]!;
}

const STAMP = `COALESCE(c.noun_id || '@' || extract(epoch FROM c.at), '')`;

/** Whether the database's history still holds the change that `previous` ends with. */
export async function continues(client: ClientBase, previous: Head): Promise<boolean> {
  if (previous.seq === 0) return true;
  const { rows } = await client.query<{ stamp: string }>(
    `SELECT ${STAMP} AS stamp FROM change c WHERE seq = $1`,
    [previous.seq],
  );
  return rows[0]?.stamp === previous.stamp;
}

/** What changed after `seq`, each row once. Call inside `readConsistently`, so that the rows read next fit the head. */
export async function readChanges(client: ClientBase, seq: number): Promise<Changes> {
  const head = await readHead(client);
  const { rows } = await client.query<{ noun: string; nounId: string }>(
    `SELECT DISTINCT noun, noun_id AS "nounId" FROM change WHERE seq > $1`,
    [seq],
  );
  const idsOf = (noun: string) => rows.filter((row) => row.noun === noun).map((row) => row.nounId);
  return {
    head,
    endpointIds: idsOf('endpoint'),
    modelEndpointIds: idsOf('model_endpoint'),
    apiKeyIds: idsOf('api_key'),
    limitIds: idsOf('usage_limit'),
  };
}

/** Runs `read` against one state of the database. When it throws, the connection is of no further use. */
export async function readConsistently<T>(client: ClientBase, read: () => Promise<T>): Promise<T> {
  await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
  const result = await read();
  await client.query('COMMIT');
  return result;
}

const ENDPOINT_COLUMNS = `
  e.id, e.workspace_id AS "workspaceId", e.name,
  to_char(e.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS "createdAt",
  e.data_class AS "dataClass", e.payloads, e.cache_ttl_seconds AS "cacheTtlSeconds", s.revision AS "splitRevision", s.salt, s.overrides,
  (SELECT json_agg(json_build_object('name', a.name, 'weightBps', a.weight_bps, 'ranges', a.ranges,
                                     'chainVersionId', a.chain_version_id) ORDER BY a.position)
     FROM arm a WHERE a.split_id = s.id) AS arms,
  (SELECT json_agg(json_build_object('name', w.name, 'sampleBps', w.sample_bps, 'chainVersionId', w.chain_version_id)
                   ORDER BY w.position)
     FROM shadow w WHERE w.split_id = s.id) AS shadows`;

/**
 * Every endpoint that serves, in batches.
 * A cursor, because one walk is fast by any plan, while keyset pages sort all endpoints anew for every page when
 * the planner has no statistics yet (measured with 100 000: 20 s instead of 2).
 */
export async function* readEndpoints(client: ClientBase): AsyncGenerator<EndpointRecord[]> {
  await client.query({
    text: `DECLARE endpoints NO SCROLL CURSOR FOR
           SELECT ${ENDPOINT_COLUMNS}
             FROM endpoint e JOIN split s ON s.endpoint_id = e.id AND s.revision = e.split_revision
            WHERE e.archived_at IS NULL`,
  });
  for (;;) {
    const { rows } = await client.query<EndpointRecord>(`FETCH ${BATCH} FROM endpoints`);
    if (rows.length > 0) yield rows;
    if (rows.length < BATCH) break;
  }
  await client.query('CLOSE endpoints');
}

/** Those of the given endpoints that serve, in batches. */
export async function* readEndpointsById(
  client: ClientBase,
  ids: readonly string[],
): AsyncGenerator<EndpointRecord[]> {
  for (const some of batches(ids)) {
    const { rows } = await client.query<EndpointRecord>({
      name: 'catena-endpoints-by-id',
      text: `SELECT ${ENDPOINT_COLUMNS}
               FROM endpoint e JOIN split s ON s.endpoint_id = e.id AND s.revision = e.split_revision
              WHERE e.archived_at IS NULL AND e.id = ANY($1::uuid[])`,
      values: [some],
    });
    if (rows.length > 0) yield rows;
  }
}

/** The model endpoints in use; with `ids`, those of them. */
export async function readModelEndpoints(
  client: ClientBase,
  ids?: readonly string[],
): Promise<ModelEndpointRecord[]> {
  const { rows } = await client.query<ModelEndpointRecord>({
    name: 'catena-model-endpoints',
    text: `SELECT m.id, m.workspace_id AS "workspaceId", m.name, m.protocol, m.api_version AS "apiVersion", m.models,
                  m.input_micro_usd_per_million_tokens AS "inputMicroUsdPerMillionTokens",
                  m.output_micro_usd_per_million_tokens AS "outputMicroUsdPerMillionTokens",
                  m.cached_input_micro_usd_per_million_tokens AS "cachedInputMicroUsdPerMillionTokens",
                  m.cache_write_input_micro_usd_per_million_tokens AS "cacheWriteInputMicroUsdPerMillionTokens",
                  m.reasoning_micro_usd_per_million_tokens AS "reasoningMicroUsdPerMillionTokens",
                  m.model_prices AS "modelPrices", m.clearance, m.structured_output AS "structuredOutput",
                  m.max_concurrency_per_replica AS "maxConcurrencyPerReplica",
                  CASE WHEN m.credential_key_id IS NULL THEN NULL
                       ELSE json_build_object('keyId', m.credential_key_id,
                              'ciphertext', translate(encode(m.credential_ciphertext, 'base64'), E'\\n', '')) END AS credential,
                  COALESCE((SELECT json_agg(json_build_object('id', r.id, 'baseUrl', r.base_url) ORDER BY r.position)
                              FROM replica r WHERE r.model_endpoint_id = m.id), '[]') AS replicas
             FROM model_endpoint m
            WHERE m.archived_at IS NULL AND ($1::uuid[] IS NULL OR m.id = ANY($1))`,
    values: [ids ?? null],
  });
  return rows;
}

/** All API keys, revoked ones too: that there ever was one is what closes a gateway. With `ids`, those of them. */
export async function readApiKeys(client: ClientBase, ids?: readonly string[]): Promise<ApiKeyRecord[]> {
  const { rows } = await client.query<ApiKeyRecord>({
    name: 'catena-api-keys',
    text: `SELECT k.id, k.workspace_id AS "workspaceId", k.name, k.team, k.actions, k.endpoints, k.clearance,
                  (extract(epoch FROM k.expires_at) * 1000)::float8 AS "expiresAtMs", k.revoked_at IS NOT NULL AS revoked,
                  COALESCE((SELECT json_agg(json_build_object('digest', encode(s.digest, 'base64'),
                                     'expiresAtMs', (extract(epoch FROM s.expires_at) * 1000)::float8))
                              FROM api_key_secret s
                             WHERE s.api_key_id = k.id AND (s.expires_at IS NULL OR s.expires_at > now())), '[]') AS secrets
             FROM api_key k
            WHERE $1::uuid[] IS NULL OR k.id = ANY($1)`,
    values: [ids ?? null],
  });
  return rows;
}

/** All limits; with `ids`, those of them. */
export async function readLimits(client: ClientBase, ids?: readonly string[]): Promise<LimitRecord[]> {
  const { rows } = await client.query<LimitRecord>({
    name: 'catena-limits',
    text: `SELECT id, workspace_id AS "workspaceId", name, target_kind AS "targetKind", target, metric,
                  time_window AS "window", amount, hard_stop AS "hardStop", alert_percent AS "alertPercent"
             FROM usage_limit
            WHERE $1::uuid[] IS NULL OR id = ANY($1)`,
    values: [ids ?? null],
  });
  return rows;
}

/** Chain versions by id, archived or not: archiving a version does not stop an endpoint that serves it. */
export async function readChains(client: ClientBase, ids: readonly string[]): Promise<ChainRecord[]> {
  const found: ChainRecord[] = [];
  for (const some of batches(ids)) {
    const { rows } = await client.query<ChainRecord>({
      name: 'catena-chains',
      text: `SELECT v.id AS "versionId", e.name, v.number AS version, v.digest, v.content AS text,
                    r.to_version_id AS "promptVersionId"
               FROM version v
               JOIN entry e ON e.id = v.entry_id
               LEFT JOIN version_reference r ON r.version_id = v.id AND r.path = '/prompt'
              WHERE v.id = ANY($1::uuid[])`,
      values: [some],
    });
    found.push(...rows);
  }
  return found;
}

/** Prompt versions by id. */
export async function readPrompts(client: ClientBase, ids: readonly string[]): Promise<PromptRecord[]> {
  const found: PromptRecord[] = [];
  for (const some of batches(ids)) {
    const { rows } = await client.query<PromptRecord>({
      name: 'catena-prompts',
      text: `SELECT id AS "versionId", content AS text FROM version WHERE id = ANY($1::uuid[])`,
      values: [some],
    });
    found.push(...rows);
  }
  return found;
}

function* batches<T>(items: readonly T[]): Generator<readonly T[]> {
  for (let start = 0; start < items.length; start += BATCH) yield items.slice(start, start + BATCH);
}
