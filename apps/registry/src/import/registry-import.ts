import type { DataSource, EntityManager } from 'typeorm';
import { v7 } from 'uuid';
import { canonical, type Json } from '#libs/core/canonical/canonical.js';
import type { MlflowModel } from '#libs/core/content/types.js';
import { validateContent } from '#libs/core/content/validate.js';
import { copyArtifacts, type ArtifactSource } from '../entries/versions/copy-artifacts.js';
import { IS_PROMPT_TAG } from '../entries/registry-filter.js';
import type { Caller } from '../http/caller.js';
import { isPromptTags, splitPromptTags } from '../mlflow/registry/prompt-tags.js';
import { Fingerprint } from './fingerprint.js';
import type { ImportRecords } from './import-records.js';
import type { SourceModel, SourceVersion } from './mlflow-source.js';
import { sorted } from './run-import.js';

interface NewVersion {
  readonly number: number;
  readonly text: string;
  readonly digest: string;
  readonly model: MlflowModel | undefined;
  readonly tags: Record<string, string>;
  readonly from: SourceVersion;
}

/** Brings registered models and prompts with their versions, numbers, stages, aliases and times. */
export class RegistryImport {
  constructor(
    private readonly database: DataSource,
    private readonly records: ImportRecords,
    private readonly caller: Caller,
    private readonly source: string,
  ) {}

  /**
   * All of a model in one transaction, so that nobody sees a part of it.
   * @throws Error when there is a model or prompt of that name here that did not come from this source.
   */
  async bring(model: SourceModel, versions: readonly SourceVersion[]): Promise<{ isNew: boolean }> {
    const known = await this.records.find('model', model.name);
    if (known?.fingerprint) return { isNew: false };
    const kind = isPromptTags(model.tags) ? 'prompt' : 'model';
    const prepared = versions.map((version) => prepare(kind, version));
    const { [IS_PROMPT_TAG]: _, ...tags } = model.tags;
    const print = new Fingerprint();
    await this.database.transaction(async (tx) => {
      const entryId = v7();
      const latest = Math.max(0, ...versions.map(({ number }) => number));
      const created: unknown[] = await tx.query(
        `INSERT INTO entry (id, workspace_id, kind, name, description, tags, latest_version, created_at, created_by, updated_at)
         SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10
          WHERE NOT EXISTS (SELECT FROM entry WHERE workspace_id = $2 AND name = $4 AND kind IN ('model', 'prompt'))
         ON CONFLICT DO NOTHING RETURNING id`,
        [
          entryId,
          this.caller.workspaceId,
          kind,
          model.name,
          model.description,
          JSON.stringify(tags),
          latest,
          new Date(model.createdMs),
          this.caller.actor,
          new Date(model.updatedMs),
        ],
      );
      if (created.length === 0)
        throw new Error('there is already a model or prompt of that name here; rename one of the two');
      print.add('registered models', kind, model.name, model.description, model.createdMs, sorted(tags));
      const ids = new Map<number, string>();
      for (const version of prepared)
        ids.set(version.number, await this.bringVersion(tx, entryId, version, print));
      for (const [alias, number] of Object.entries(model.aliases))
        await this.bringAlias(tx, entryId, alias, number, ids.get(number), print);
      await this.records.add(tx, 'model', model.name, entryId);
    });
    await this.records.finish('model', model.name, print.toString());
    return { isNew: true };
  }

  private async bringVersion(
    tx: EntityManager,
    entryId: string,
    version: NewVersion,
    print: Fingerprint,
  ): Promise<string> {
    const { number, text, digest, model, tags, from } = version;
    const { workspaceId, actor } = this.caller;
    const id = v7();
    const [createdAt, updatedAt] = [new Date(from.createdMs), new Date(from.updatedMs)];
    await tx.query(
      `INSERT INTO version (id, workspace_id, entry_id, number, digest, content, created_at, created_by)
       VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
      [id, workspaceId, entryId, number, digest, text, createdAt, from.user ?? actor],
    );
    await tx.query(
      `INSERT INTO version_note (version_id, workspace_id, kind, description, tags, stage, updated_at)
       SELECT $1, workspace_id, kind, $3, $4, $5, $6 FROM entry WHERE id = $2`,
      [id, entryId, from.description, JSON.stringify(tags), from.stage, updatedAt],
    );
    print.add('versions', number, digest, from.createdMs, from.description, from.stage, sorted(tags));
    if (model === undefined) return id;
    await tx.query(
      `INSERT INTO version_source (version_id, workspace_id, source, run_id, model_id) VALUES ($1, $2, $3, $4, $5)`,
      [id, workspaceId, model.source, model.runId ?? null, model.modelId ?? null],
    );
    const files = await this.filesOf(model);
    if (files) await copyArtifacts(this.caller, files, id, tx);
    return id;
  }

  /** Where the files of a version lie here: with the run or logged model that it was registered from. */
  private async filesOf({ source }: MlflowModel): Promise<ArtifactSource | undefined> {
    const model = /(?:^|[:/])(m-[0-9a-f]{32})(?:\/artifacts)?(?:\/(.*))?$/.exec(source);
    if (model) {
      const record = await this.records.find('logged model', model[1]!);
      return record && { owner: 'loggedModel', id: record.targetId, path: trimmed(model[2]) };
    }
    const run =
      /^runs:\/([0-9a-f]{32})(?:\/(.*))?$/.exec(source) ??
      /\/([0-9a-f]{32})\/artifacts(?:\/(.*))?$/.exec(source);
    if (!run) return undefined;
    const record = await this.records.find('run', run[1]!);
    return record && { owner: 'run', id: record.targetId, path: trimmed(run[2]) };
  }

  private async bringAlias(
    tx: EntityManager,
    entryId: string,
    alias: string,
    number: number,
    versionId: string | undefined,
    print: Fingerprint,
  ): Promise<void> {
    if (versionId === undefined)
      throw new Error(`its alias "${alias}" is of version ${number}, which is not there`);
    const { workspaceId, actor } = this.caller;
    await tx.query(
      `INSERT INTO alias (workspace_id, entry_id, name, version_id, revision, updated_at, updated_by)
       VALUES ($1, $2, $3, $4, 1, now(), $5)`,
      [workspaceId, entryId, alias, versionId, actor],
    );
    await tx.query(
      `INSERT INTO alias_move (workspace_id, entry_id, alias, revision, to_version_id, moved_at, moved_by, reason)
       VALUES ($1, $2, $3, 1, $4, now(), $5, $6)`,
      [workspaceId, entryId, alias, versionId, actor, `imported from ${this.source}`],
    );
    print.add('aliases', alias, number);
  }
}

function prepare(kind: 'prompt' | 'model', from: SourceVersion): NewVersion {
  const { number } = from;
  if (kind === 'prompt') {
    const { content, tags } = splitPromptTags(from.tags);
    validateContent('prompt', content);
    return { number, ...canonical(content as unknown as Json), model: undefined, tags, from };
  }
  const modelId = /(?:^|[:/])(m-[0-9a-f]{32})(?:\/|$)/.exec(from.source)?.[1];
  const model: MlflowModel = {
    format: 'mlflow',
    source: from.source,
    ...(from.runId && { runId: from.runId }),
    ...(modelId && { modelId }),
    ...(from.runLink && { runLink: from.runLink }),
  };
  validateContent('model', model);
  return { number, ...canonical(model as unknown as Json), model, tags: { ...from.tags }, from };
}

const trimmed = (path: string | undefined): string => (path ?? '').replace(/\/+$/, '');

/** The same of an entry that is here; undefined when it is gone. */
export async function fingerprintOfEntry(manager: EntityManager, id: string): Promise<string | undefined> {
  const [entry]: {
    kind: string;
    name: string;
    description: string | null;
    createdAt: Date;
    tags: Record<string, string>;
  }[] = await manager.query(
    `SELECT kind, name, description, created_at AS "createdAt", tags FROM entry WHERE id = $1`,
    [id],
  );
  if (!entry) return undefined;
  const print = new Fingerprint();
  print.add(
    'registered models',
    entry.kind,
    entry.name,
    entry.description,
    entry.createdAt.getTime(),
    sorted(entry.tags),
  );
  const versions: {
    number: number;
    digest: string;
    createdAt: Date;
    description: string | null;
    stage: string;
    tags: Record<string, string>;
  }[] = await manager.query(
    `SELECT v.number, v.digest, v.created_at AS "createdAt", n.description, n.stage, n.tags
         FROM version v JOIN version_note n ON n.version_id = v.id WHERE v.entry_id = $1`,
    [id],
  );
  for (const { number, digest, createdAt, description, stage, tags } of versions)
    print.add('versions', number, digest, createdAt.getTime(), description, stage, sorted(tags));
  const aliases: { name: string; number: number }[] = await manager.query(
    `SELECT a.name, v.number FROM alias a JOIN version v ON v.id = a.version_id WHERE a.entry_id = $1`,
    [id],
  );
  for (const { name, number } of aliases) print.add('aliases', name, number);
  return print.toString();
}
