import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { v7 } from 'uuid';
import type { Kind } from '#libs/core/content/schemas.js';
import type { ModelContent } from '#libs/core/content/types.js';
import type { Caller } from '../../http/caller.js';
import { RegistryEvents } from '../../webhooks/registry-events.js';
import { Entry } from '../entry.entity.js';
import type { PinnedContent } from './pinning.js';
import type { Tags } from '../tags.js';
import { Version } from './version.entity.js';
import { VersionNote } from './version-note.entity.js';
import { VersionReference } from './version-reference.entity.js';
import { parseLoggedModelId } from '../../logged-models/logged-model-id.js';
import { parseRunId } from '../../runs/run-id.js';
import { VersionSource } from './version-source.entity.js';

export interface NewVersion extends PinnedContent {
  /** `content` in canonical form, and its digest. */
  readonly text: string;
  readonly digest: string;
  readonly message: string | null;
  /** Said of the version from the start, and changeable. */
  readonly note?: { readonly description: string | null; readonly tags: Tags };
}

/** The one place where a version comes to be. */
@Injectable()
export class VersionWriter {
  constructor(private readonly events: RegistryEvents) {}

  /** Issues the next number of a locked entry. */
  async insert(caller: Caller, entry: Entry, given: NewVersion, tx: EntityManager): Promise<Version> {
    const version: Version = {
      id: v7(),
      workspaceId: caller.workspaceId,
      entryId: entry.id,
      number: entry.latestVersion + 1,
      digest: given.digest,
      content: given.text,
      message: given.message,
      createdAt: new Date(),
      createdBy: caller.actor,
      archivedAt: null,
    };
    await tx.getRepository(Version).insert(version);
    await tx.getRepository(VersionReference).insert(
      given.pins.map(({ path, versionId }) => ({
        workspaceId: caller.workspaceId,
        versionId: version.id,
        path,
        toVersionId: versionId,
      })),
    );
    await tx.getRepository(VersionNote).insert({
      versionId: version.id,
      workspaceId: caller.workspaceId,
      kind: entry.kind,
      description: given.note?.description ?? null,
      tags: given.note?.tags ?? {},
      stage: 'None',
      updatedAt: version.createdAt,
    });
    await insertSource(entry.kind, version, given.content as unknown as ModelContent, tx);
    await tx
      .getRepository(Entry)
      .update({ id: entry.id }, { latestVersion: version.number, updatedAt: version.createdAt });
    await this.events.record(tx, caller, {
      kind: entry.kind,
      name: entry.name,
      happened: 'version created',
      version: version.number,
      digest: version.digest,
      content: given.content,
      tags: given.note?.tags ?? {},
      description: given.note?.description ?? null,
    });
    return version;
  }
}

async function insertSource(
  kind: Kind,
  version: Version,
  content: ModelContent,
  tx: EntityManager,
): Promise<void> {
  if (kind !== 'model' || content.source === undefined) return;
  const { workspaceId } = version;
  const { runId = null, modelId = null } = content.format === 'mlflow' ? content : {};
  if (runId !== null || modelId !== null) await holdSource(workspaceId, runId, modelId, tx);
  await tx
    .getRepository(VersionSource)
    .insert({ versionId: version.id, workspaceId, source: content.source, runId, modelId });
}

/** Until the version is there to see, `gc` must pass over what it was made from: it does, where that is locked. */
async function holdSource(
  workspaceId: string,
  runId: string | null,
  modelId: string | null,
  tx: EntityManager,
): Promise<void> {
  const model = modelId === null ? undefined : parseLoggedModelId(modelId);
  const run = runId === null ? undefined : parseRunId(runId);
  const held: { sourceRunId: string | null }[] = await tx.query(
    `SELECT source_run_id AS "sourceRunId" FROM logged_model WHERE workspace_id = $1 AND id = $2 FOR KEY SHARE`,
    [workspaceId, model ?? null],
  );
  await tx.query(`SELECT FROM run WHERE workspace_id = $1 AND id IN ($2, $3) ORDER BY id FOR KEY SHARE`, [
    workspaceId,
    run ?? null,
    held[0]?.sourceRunId ?? null,
  ]);
}
