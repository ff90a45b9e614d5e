import { Injectable } from '@nestjs/common';
import type { ArtifactSource } from '../../entries/versions/copy-artifacts.js';
import {
  RegistryReader,
  type RegisteredEntry,
  type RegisteredVersion,
} from '../../entries/registry.reader.js';
import type { MlflowModel, ModelContent } from '#libs/core/content/types.js';
import type { Caller } from '../../http/caller.js';
import { parseLoggedModelId } from '../../logged-models/logged-model-id.js';
import type { LoggedModelRecord } from '../../logged-models/logged-model-record.js';
import { LoggedModelService } from '../../logged-models/logged-model.service.js';
import { parseRunId, runHex } from '../../runs/run-id.js';
import { RunService } from '../../runs/run.service.js';
import { locate } from '../artifacts/artifact-location.js';
import { isRefusal, MlflowError } from '../protocol/mlflow-error.js';
import { badSource, noAlias, noModel, noVersion } from './registry-refusals.js';
import { stageOf, versionNumber } from './registry-rules.js';
import { readSource, unidentified, type SourceUri, type VersionOf } from './source-uri.js';

/** As the request gives it; absent where it does not. */
export interface GivenSource {
  readonly source: string;
  readonly runId: string | undefined;
  readonly modelId: string | undefined;
  readonly runLink: string | undefined;
}

export interface Origin {
  readonly content: MlflowModel;
  /** The files to copy, where they are ours. */
  readonly files: ArtifactSource | undefined;
}

/** Checks where a model version is registered from, and finds its files where they lie in this registry. */
@Injectable()
export class ModelSources {
  constructor(
    private readonly reader: RegistryReader,
    private readonly runs: RunService,
    private readonly loggedModels: LoggedModelService,
  ) {}

  /** @throws MlflowError INVALID_PARAMETER_VALUE, RESOURCE_DOES_NOT_EXIST. */
  async resolve(caller: Caller, given: GivenSource): Promise<Origin> {
    const uri = readSource(given.source);
    if (uri.at === 'version') return this.fromVersion(caller, given, uri.name, uri.by);
    const loggedModel = given.modelId ? await this.loggedModel(caller, given.modelId) : undefined;
    const runId = given.runId || (loggedModel?.sourceRunId ? runHex(loggedModel.sourceRunId) : undefined);
    const files = await this.files(caller, given, uri);
    return { content: contentOf({ ...given, runId }), files };
  }

  /**
   * Tells a logged model of a version that was made of it, in the tag by which MLflow's clients know. One that was
   * deleted has nothing to tell: a copy of its version is registered all the same.
   */
  async link(caller: Caller, { content }: Origin, name: string, version: number): Promise<void> {
    const id = content.modelId && parseLoggedModelId(content.modelId);
    if (!id) return;
    try {
      const { tags } = await this.loggedModels.get(caller, id);
      const links = [...linksIn(tags[LINKS_TAG]), { name, version }].map(linkText);
      const text = `[${links.join(', ')}]`;
      await this.loggedModels.update(caller, id, { tags: { [LINKS_TAG]: text } });
    } catch (error) {
      if (!isRefusal(error, 'NOT_FOUND', 'DELETED')) throw error;
    }
  }

  private async files(
    caller: Caller,
    given: GivenSource,
    uri: SourceUri,
  ): Promise<ArtifactSource | undefined> {
    switch (uri.at) {
      case 'run': {
        if (given.modelId) throw unidentified(given.source, 'model_id');
        const id = parseRunId(uri.runId);
        // Clients before 3.15 name runs that no server knows. One that is here is not said to be another's.
        if (uri.runId !== given.runId && (!given.runId || (await this.isRun(caller, id))))
          throw unidentified(given.source, 'run_id');
        return id === undefined ? undefined : { owner: 'run', id, path: uri.path };
      }
      case 'loggedModel': {
        if (uri.modelId !== given.modelId) throw unidentified(given.source, 'model_id');
        return { owner: 'loggedModel', id: parseLoggedModelId(uri.modelId)!, path: '' };
      }
      case 'proxy':
        return this.proxied(caller, given, uri.path);
      case 'version':
      case 'elsewhere':
        return undefined;
    }
  }

  private async proxied(caller: Caller, given: GivenSource, path: string): Promise<ArtifactSource> {
    const place = locate(path);
    if (given.modelId) {
      const id = parseLoggedModelId(given.modelId)!;
      if (place.owner.kind !== 'loggedModel' || place.owner.loggedModelId !== id)
        throw unidentified(given.source, 'model_id');
      return { owner: 'loggedModel', id, path: place.path };
    }
    const id = given.runId ? parseRunId(given.runId) : undefined;
    if (id === undefined || place.owner.kind !== 'run' || place.owner.runId !== id)
      throw unidentified(given.source, 'run_id');
    if (!(await this.isRun(caller, id))) throw unidentified(given.source, 'run_id');
    return { owner: 'run', id, path: place.path };
  }

  private async isRun(caller: Caller, id: string | undefined): Promise<boolean> {
    if (id === undefined) return false;
    try {
      await this.runs.get(caller, id);
      return true;
    } catch (error) {
      if (isRefusal(error, 'NOT_FOUND')) return false;
      throw error;
    }
  }

  /** A version made from another: it takes over where that came from, and its files. */
  private async fromVersion(
    caller: Caller,
    given: GivenSource,
    name: string,
    by: VersionOf,
  ): Promise<Origin> {
    const entry = found(await this.reader.findEntry(caller, name), noModel(name));
    if (entry.kind === 'prompt')
      throw badSource(given.source, 'Prompt versions cannot be used as model version sources.');
    const version = await this.version(caller, entry, by);
    const model = JSON.parse(version.content) as ModelContent;
    const own: Partial<MlflowModel> = model.format === 'mlflow' ? model : {};
    const differs = (said: string | undefined, is: string | undefined): boolean =>
      said !== undefined && said !== (is ?? '');
    if (differs(given.runId, own.runId) || differs(given.modelId, own.modelId))
      throw badSource(
        given.source,
        'The run_id and model_id request parameters must match the referenced model version.',
      );
    return {
      content: contentOf({
        source: `models:/${name}/${version.version}`,
        runId: own.runId,
        modelId: own.modelId,
        runLink: given.runLink,
      }),
      files: { owner: 'version', id: version.id, path: '' },
    };
  }

  private async version(caller: Caller, entry: RegisteredEntry, by: VersionOf): Promise<RegisteredVersion> {
    const { name, latest } = entry;
    if (by === 'latest') return found(await this.reader.findLatestVersion(caller, name), noModel(name));
    if ('version' in by)
      return found(
        await this.reader.findVersion(caller, name, versionNumber(by.version)),
        noVersion(name, by.version),
      );
    if ('alias' in by)
      return found(await this.reader.findVersionByAlias(caller, name, by.alias), noAlias(by.alias));
    const stage = stageOf(by.stage);
    return found(
      latest.find((version) => version.stage === stage),
      noModel(name),
    );
  }

  private async loggedModel(caller: Caller, modelId: string): Promise<LoggedModelRecord> {
    const missing = new MlflowError(
      'RESOURCE_DOES_NOT_EXIST',
      `Logged model with ID '${modelId}' not found.`,
    );
    const id = parseLoggedModelId(modelId);
    if (id === undefined) throw missing;
    try {
      const model = await this.loggedModels.get(caller, id);
      if (model.deletedAt === null) return model;
    } catch (error) {
      if (!isRefusal(error, 'NOT_FOUND')) throw error;
    }
    throw missing;
  }
}

const LINKS_TAG = 'mlflow.modelVersions';

/** As Python writes it: some clients compare the text. */
function linkText(link: unknown): string {
  if (typeof link !== 'object' || link === null) return JSON.stringify(link);
  const pairs = Object.entries(link).map(
    ([key, value]) => `${JSON.stringify(key)}: ${JSON.stringify(value)}`,
  );
  return `{${pairs.join(', ')}}`;
}

/** Clients can write the tag, too. */
function linksIn(tag: string | undefined): unknown[] {
  try {
    const links: unknown = JSON.parse(tag ?? '[]');
    return Array.isArray(links) ? links : [];
  } catch {
    return [];
  }
}

function found<T>(value: T | undefined, refusal: MlflowError): T {
  if (value === undefined) throw refusal;
  return value;
}

/** What was not given, or given as "", is left out. */
function contentOf({ source, runId, modelId, runLink }: GivenSource): MlflowModel {
  return {
    format: 'mlflow',
    source,
    ...(runId && { runId }),
    ...(modelId && { modelId }),
    ...(runLink && { runLink }),
  };
}
