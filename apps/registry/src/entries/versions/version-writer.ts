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
  await tx.getRepository(VersionSource).insert({
    versionId: version.id,
    workspaceId: version.workspaceId,
    source: content.source,
    runId: content.format === 'mlflow' ? (content.runId ?? null) : null,
    modelId: content.format === 'mlflow' ? (content.modelId ?? null) : null,
  });
}
