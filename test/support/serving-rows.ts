import type { ClientBase } from 'pg';
import { v7 } from 'uuid';
import { deriveRanges, type RangedArm } from '../../libs/core/assignment/split.js';
import { canonical, type Json } from '../../libs/core/canonical/canonical.js';
import type { StructuredOutput } from '../../libs/core/contract/structured-output.js';
import { DEFAULT_WORKSPACE_ID } from '../../libs/platform/database/default-workspace.js';
import { credentialContext, SecretBox } from '../../libs/platform/secrets/secret-box.js';
import { TEST_ENCRYPTION_KEYS } from './keys.js';

export interface VersionRow {
  readonly id: string;
  readonly name: string;
  readonly version: number;
  readonly digest: string;
  readonly text: string;
}

export interface ArmGiven {
  readonly name: string;
  readonly weightBps: number;
  readonly chain: VersionRow;
}

export interface ShadowGiven {
  readonly name: string;
  readonly sampleBps: number;
  readonly chain: VersionRow;
}

export interface SplitGiven {
  readonly salt?: string;
  readonly overrides?: Readonly<Record<string, string>>;
  readonly shadows?: readonly ShadowGiven[];
  /** Of the endpoint; kept as it is unless given. */
  readonly cacheTtlSeconds?: number | null;
}

/**
 * Writes what gateways read, straight into the tables: for tests of the gateway alone.
 * Every method is one transaction that records its change last, as the registry's are.
 */
export class ServingRows {
  private depth = 0;

  constructor(
    private readonly client: ClientBase,
    private readonly workspaceId = DEFAULT_WORKSPACE_ID,
  ) {}

  /** A version with the next number of its entry, which is made when it is not there; content it has is that version. */
  async addVersion(kind: 'prompt' | 'model' | 'chain', name: string, content: Json): Promise<VersionRow> {
    const { text, digest } = canonical(content);
    const held = await this.client.query<{ id: string; version: number }>(
      `SELECT v.id, v.number AS version FROM version v JOIN entry e ON e.id = v.entry_id
        WHERE e.kind = $1 AND e.name = $2 AND v.digest = $3 AND e.workspace_id = $4`,
      [kind, name, digest, this.workspaceId],
    );
    if (held.rows[0]) return { ...held.rows[0], name, digest, text };
    const { rows } = await this.client.query<{ entryId: string; version: number }>(
      `INSERT INTO entry (id, workspace_id, kind, name, tags, latest_version, created_at, created_by, updated_at)
       VALUES ($1, $2, $3, $4, '{}', 1, now(), 'test', now())
       ON CONFLICT (workspace_id, kind, name) DO UPDATE SET latest_version = entry.latest_version + 1
       RETURNING id AS "entryId", latest_version AS version`,
      [v7(), this.workspaceId, kind, name],
    );
    const { entryId, version } = rows[0]!;
    const id = v7();
    await this.client.query(
      `INSERT INTO version (id, workspace_id, entry_id, number, digest, content, created_at, created_by)
       VALUES ($1, $2, $3, $4, $5, $6, now(), 'test')`,
      [id, this.workspaceId, entryId, version, digest, text],
    );
    return { id, name, version, digest, text };
  }

  /** A chain version over a prompt of its own; `content` overrides any field but the prompt. */
  async addChain(
    name: string,
    content: { readonly [field: string]: Json } = {},
    promptContent: Json = { type: 'chat', messages: ['{{messages}}'] },
  ): Promise<VersionRow & { readonly prompt: VersionRow }> {
    const prompt = await this.addVersion('prompt', `${name}-prompt`, promptContent);
    const chain = await this.addVersion('chain', name, {
      prompt: { name: prompt.name, version: prompt.version, digest: prompt.digest },
      generate: { modelEndpoint: 'gpu', model: 'small' },
      ...content,
    });
    await this.client.query(
      `INSERT INTO version_reference (workspace_id, version_id, path, to_version_id) VALUES ($1, $2, '/prompt', $3)
       ON CONFLICT DO NOTHING`,
      [this.workspaceId, chain.id, prompt.id],
    );
    return { ...chain, prompt };
  }

  /** A chain version that embeds. */
  addEmbeddingChain(name: string, content: { readonly [field: string]: Json } = {}): Promise<VersionRow> {
    return this.addVersion('chain', name, { embed: { modelEndpoint: 'gpu', model: 'small' }, ...content });
  }

  /** An endpoint with its first split, or the next split of one that is there. Returns the split's revision. */
  async setSplit(name: string, arms: readonly ArmGiven[], given: SplitGiven = {}): Promise<number> {
    return this.inTransaction(async () => {
      const { rows } = await this.client.query<{ id: string; revision: number }>(
        `INSERT INTO endpoint (id, workspace_id, name, split_revision, created_at, created_by, updated_at)
         VALUES ($1, $2, $3, 1, now(), 'test', now())
         ON CONFLICT (workspace_id, name) DO UPDATE SET split_revision = endpoint.split_revision + 1
         RETURNING id, split_revision AS revision`,
        [v7(), this.workspaceId, name],
      );
      const { id, revision } = rows[0]!;
      await this.insertSplit(id, revision, arms, given);
      if (given.cacheTtlSeconds !== undefined)
        await this.client.query(`UPDATE endpoint SET cache_ttl_seconds = $2 WHERE id = $1`, [
          id,
          given.cacheTtlSeconds,
        ]);
      await this.recordChange('endpoint', id);
      return revision;
    });
  }

  async archiveEndpoint(name: string): Promise<void> {
    await this.inTransaction(async () => {
      const { rows } = await this.client.query<{ id: string }>(
        `UPDATE endpoint SET archived_at = now() WHERE name = $1 RETURNING id`,
        [name],
      );
      await this.recordChange('endpoint', rows[0]!.id);
    });
  }

  async setModelEndpoint(
    name: string,
    given: {
      readonly replicas: readonly string[];
      readonly models?: readonly string[];
      readonly credential?: string;
      readonly maxConcurrencyPerReplica?: number;
      /** `openai`, unless given. */
      readonly protocol?: string;
      readonly apiVersion?: string;
      readonly structuredOutput?: StructuredOutput;
    },
  ): Promise<string> {
    const box = new SecretBox(TEST_ENCRYPTION_KEYS);
    return this.inTransaction(async () => {
      const known = await this.client.query<{ id: string }>(
        `SELECT id FROM model_endpoint WHERE name = $1 AND workspace_id = $2`,
        [name, this.workspaceId],
      );
      const id = known.rows[0]?.id ?? v7();
      const sealed =
        given.credential === undefined ? undefined : box.seal(given.credential, credentialContext(id));
      await this.client.query(
        `INSERT INTO model_endpoint (id, workspace_id, name, models, input_micro_usd_per_million_tokens,
           output_micro_usd_per_million_tokens, max_concurrency_per_replica, credential_ciphertext, credential_key_id,
           protocol, api_version, structured_output, revision, created_at, created_by, updated_at)
         VALUES ($1, $2, $3, $4, 500000, 1500000, $5, $6, $7, $8, $9, $10, 1, now(), 'test', now())
         ON CONFLICT (workspace_id, name) DO UPDATE SET models = excluded.models, revision = model_endpoint.revision + 1,
           credential_ciphertext = excluded.credential_ciphertext, credential_key_id = excluded.credential_key_id,
           max_concurrency_per_replica = excluded.max_concurrency_per_replica`,
        [
          id,
          this.workspaceId,
          name,
          given.models ?? ['small'],
          given.maxConcurrencyPerReplica ?? 16,
          sealed?.ciphertext ?? null,
          sealed?.keyId ?? null,
          given.protocol ?? 'openai',
          given.apiVersion ?? null,
          given.structuredOutput ?? 'response_format',
        ],
      );
      await this.client.query(`DELETE FROM replica WHERE model_endpoint_id = $1`, [id]);
      for (const [position, baseUrl] of given.replicas.entries())
        await this.client.query(
          `INSERT INTO replica (id, workspace_id, model_endpoint_id, position, base_url) VALUES ($1, $2, $3, $4, $5)`,
          [v7(), this.workspaceId, id, position, baseUrl],
        );
      await this.recordChange('model_endpoint', id);
      return id;
    });
  }

  /** `count` endpoints `bulk-0` … that all serve one chain version, in one transaction. */
  async addBulkEndpoints(count: number, chain: VersionRow): Promise<void> {
    await this.inTransaction(async () => {
      await this.client.query(
        `INSERT INTO endpoint (id, workspace_id, name, split_revision, created_at, created_by, updated_at)
         SELECT gen_random_uuid(), $1, 'bulk-' || n, 1, now(), 'test', now() FROM generate_series(0, $2::int - 1) n`,
        [this.workspaceId, count],
      );
      await this.client.query(
        `INSERT INTO split (id, workspace_id, endpoint_id, revision, salt, overrides, moved_buckets, created_at, created_by)
         SELECT gen_random_uuid(), workspace_id, id, 1, name, '{}', 10000, now(), 'test'
           FROM endpoint WHERE name LIKE 'bulk-%'`,
      );
      await this.client.query(
        `INSERT INTO arm (workspace_id, split_id, position, name, chain_version_id, weight_bps, ranges)
         SELECT s.workspace_id, s.id, 0, 'all', $1, 10000, '[[0,10000]]'
           FROM split s JOIN endpoint e ON e.id = s.endpoint_id WHERE e.name LIKE 'bulk-%'`,
        [chain.id],
      );
      await this.client.query(
        `SELECT catena_record_change(workspace_id, 'endpoint', id) FROM endpoint WHERE name = 'bulk-0'`,
      );
    });
  }

  private async insertSplit(
    endpointId: string,
    revision: number,
    arms: readonly ArmGiven[],
    { salt, overrides, shadows = [] }: SplitGiven,
  ): Promise<void> {
    const ranged: RangedArm[] = deriveRanges(arms);
    const splitId = v7();
    await this.client.query(
      `INSERT INTO split (id, workspace_id, endpoint_id, revision, salt, overrides, moved_buckets, created_at, created_by)
       VALUES ($1, $2, $3, $4, $5, $6, 0, now(), 'test')`,
      [splitId, this.workspaceId, endpointId, revision, salt ?? endpointId, JSON.stringify(overrides ?? {})],
    );
    for (const [position, arm] of arms.entries())
      await this.client.query(
        `INSERT INTO arm (workspace_id, split_id, position, name, chain_version_id, weight_bps, ranges)
         VALUES ($1, $2, $3, $4, $5, $6, $7)`,
        [
          this.workspaceId,
          splitId,
          position,
          arm.name,
          arm.chain.id,
          arm.weightBps,
          JSON.stringify(ranged[position]!.ranges),
        ],
      );
    for (const [position, { name, sampleBps, chain }] of shadows.entries())
      await this.client.query(
        `INSERT INTO shadow (workspace_id, split_id, position, name, chain_version_id, sample_bps)
         VALUES ($1, $2, $3, $4, $5, $6)`,
        [this.workspaceId, splitId, position, name, chain.id, sampleBps],
      );
  }

  private async recordChange(noun: 'endpoint' | 'model_endpoint', id: string): Promise<void> {
    await this.client.query(`SELECT catena_record_change($1, $2, $3)`, [this.workspaceId, noun, id]);
  }

  /** Makes one transaction of all that `work` does. */
  async inTransaction<T>(work: () => Promise<T>): Promise<T> {
    if (this.depth > 0) return work();
    await this.client.query('BEGIN');
    this.depth++;
    try {
      const result = await work();
      await this.client.query('COMMIT');
      return result;
    } catch (error) {
      await this.client.query('ROLLBACK');
      throw error;
    } finally {
      this.depth--;
    }
  }
}
