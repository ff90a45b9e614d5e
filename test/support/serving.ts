import { v7 } from 'uuid';
import { DEFAULT_WORKSPACE_ID } from '../../libs/platform/database/default-workspace.js';
import type { TestRegistry } from './registry.js';

export interface SeededVersion {
  readonly name: string;
  readonly version: number;
  readonly digest: string;
}

/** Generations, fallbacks and steps of a chain; the prompt is filled in. */
export type ChainFields = { generate?: object; fallbacks?: object[]; steps?: object };

/** Creates a model endpoint that serves `models`. */
export async function createModelEndpoint(
  registry: TestRegistry,
  name: string,
  models: string[] = ['llama-8b'],
): Promise<void> {
  const { status, body } = await registry.call('POST', '/model-endpoints', {
    name,
    protocol: 'openai',
    replicas: [{ baseUrl: 'http://127.0.0.1:9/v1' }],
    models,
  });
  if (status !== 201) throw new Error(JSON.stringify(body));
}

/** Puts the next version of a chain straight into the tables: what a split sees of the registry, and no more. */
export async function seedChain(
  registry: TestRegistry,
  name: string,
  fields: ChainFields = {},
): Promise<SeededVersion> {
  const { client } = registry.database;
  await client.query(
    `INSERT INTO entry (id, workspace_id, kind, name, tags, latest_version, created_at, created_by, updated_at)
     VALUES ($1, $2, 'chain', $3, '{}', 0, now(), 'test', now()) ON CONFLICT DO NOTHING`,
    [v7(), DEFAULT_WORKSPACE_ID, name],
  );
  const { rows } = await client.query(
    `UPDATE entry SET latest_version = latest_version + 1 WHERE kind = 'chain' AND name = $1
     RETURNING id, latest_version AS version`,
    [name],
  );
  const { id, version } = rows[0];
  // Distinct content per version, keys in canonical order.
  const content = JSON.stringify({
    ...(fields.fallbacks && { fallbacks: fields.fallbacks }),
    generate: fields.generate ?? {
      model: 'llama-8b',
      modelEndpoint: 'gpu',
      parameters: { seed: version },
    },
    prompt: { digest: `sha256:${'0'.repeat(64)}`, name: 'prompt', version },
    ...(fields.steps && { steps: fields.steps }),
  });
  const inserted = await client.query(
    `INSERT INTO version (id, workspace_id, entry_id, number, digest, content, created_at, created_by)
     VALUES ($1, $2, $3, $4, 'sha256:' || encode(sha256(convert_to($5, 'UTF8')), 'hex'), $5, now(), 'test')
     RETURNING digest`,
    [v7(), DEFAULT_WORKSPACE_ID, id, version, content],
  );
  return { name, version, digest: inserted.rows[0].digest };
}

/** Points an alias of a chain at one of its versions. */
export async function seedAlias(
  registry: TestRegistry,
  chain: string,
  alias: string,
  version: number,
): Promise<void> {
  await registry.database.client.query(
    `INSERT INTO alias (workspace_id, entry_id, name, version_id, revision, updated_at, updated_by)
     SELECT e.workspace_id, e.id, $2, v.id, 1, now(), 'test'
       FROM entry e JOIN version v ON v.entry_id = e.id AND v.number = $3 WHERE e.kind = 'chain' AND e.name = $1
     ON CONFLICT (entry_id, name) DO UPDATE SET version_id = excluded.version_id, revision = alias.revision + 1`,
    [chain, alias, version],
  );
}
