import { Injectable } from '@nestjs/common';
import type { StoredPrompt } from '#libs/core/content/types.js';
import { RegistryReader, type RegisteredVersion } from '../../entries/registry.reader.js';
import { RetirementService } from '../../entries/versions/retirement.service.js';
import { versionArtifactUri } from '../../entries/versions/version-artifact-uri.js';
import type { Tags } from '../../entries/tags.js';
import { VersionNoteService } from '../../entries/versions/version-note.service.js';
import { VersionService } from '../../entries/versions/version.service.js';
import type { Caller } from '../../http/caller.js';
import { MlflowError } from '../protocol/mlflow-error.js';
import type { Pair } from '../tracking/log-rules.js';
import { ModelSources, type GivenSource } from './model-source.js';
import { isFixedTag, isPromptTags, PROMPT_SOURCES, splitPromptTags } from './prompt-tags.js';
import { noAlias, noModel, noVersion } from './registry-refusals.js';
import {
  assertAlias,
  assertModelName,
  assertTag,
  assertTagKey,
  checkedDescription,
  checkedTags,
  isLatest,
  stageOf,
  versionNumber,
} from './registry-rules.js';

const ACTIVE_STAGES: readonly string[] = ['Staging', 'Production'];

export interface NewModelVersion extends GivenSource {
  readonly name: string;
  readonly tags: readonly Pair[];
  readonly description: string | undefined;
}

/** A copy of a copy of a copy: who goes on is not followed. */
const MOST_COPIES = 32;

/** Model versions of MLflow's protocol: versions of our models and prompts. */
@Injectable()
export class ModelVersions {
  constructor(
    private readonly reader: RegistryReader,
    private readonly versions: VersionService,
    private readonly notes: VersionNoteService,
    private readonly retirement: RetirementService,
    private readonly sources: ModelSources,
  ) {}

  async create(caller: Caller, given: NewModelVersion): Promise<RegisteredVersion> {
    const { name } = given;
    assertModelName(name);
    const tags = checkedTags(given.tags);
    const description = checkedDescription(given.description);
    const isPrompt = isPromptTags(tags);
    if (isPrompt && !PROMPT_SOURCES.includes(given.source))
      throw new MlflowError(
        'INVALID_PARAMETER_VALUE',
        `Invalid prompt source: '${given.source}'. Prompt sources must use an MLflow placeholder.`,
      );
    const entry = await this.reader.findEntry(caller, name);
    if (!entry) throw noModel(name);
    if ((entry.kind === 'prompt') !== isPrompt)
      throw new MlflowError(
        'INVALID_PARAMETER_VALUE',
        `'${name}' is a ${entry.kind}; register a ${isPrompt ? 'prompt' : 'model'} under a name of its own.`,
      );
    const number = isPrompt
      ? await this.createPrompt(caller, name, description, tags)
      : await this.createModel(caller, given, description, tags);
    return this.get(caller, name, String(number));
  }

  private async createPrompt(
    caller: Caller,
    name: string,
    description: string | null,
    tags: Tags,
  ): Promise<number> {
    const given = { description, ...splitPromptTags(tags) };
    return (await this.versions.registerAnew(caller, 'prompt', name, given)).number;
  }

  private async createModel(
    caller: Caller,
    given: NewModelVersion,
    description: string | null,
    tags: Tags,
  ): Promise<number> {
    const { name } = given;
    const origin = await this.sources.resolve(caller, given);
    const { number } = await this.versions.registerAnew(caller, 'model', name, {
      description,
      tags,
      ...origin,
    });
    await this.sources.link(caller, origin, name, number);
    return number;
  }

  async get(caller: Caller, name: string, version: string): Promise<RegisteredVersion> {
    assertModelName(name);
    const found = await this.reader.findVersion(caller, name, versionNumber(version));
    if (!found) throw noVersion(name, version);
    return found;
  }

  async getByAlias(caller: Caller, name: string, alias: string): Promise<RegisteredVersion> {
    assertModelName(name);
    assertAlias(alias);
    const latest = isLatest(alias);
    const found = latest
      ? await this.reader.findLatestVersion(caller, name)
      : await this.reader.findVersionByAlias(caller, name, alias);
    if (found) return found;
    if (!(await this.reader.findEntry(caller, name))) throw noModel(name);
    if (!latest) throw noAlias(alias);
    throw new MlflowError('RESOURCE_DOES_NOT_EXIST', `Latest version not found for model ${name}.`);
  }

  /** The newest version of each stage. */
  async listLatest(caller: Caller, name: string, stages: readonly string[]): Promise<RegisteredVersion[]> {
    assertModelName(name);
    const wanted = stages.map(stageOf);
    const entry = await this.reader.findEntry(caller, name);
    if (!entry) throw noModel(name);
    return entry.latest.filter(({ stage }) => wanted.length === 0 || wanted.includes(stage));
  }

  async update(
    caller: Caller,
    name: string,
    version: string,
    description: string | undefined,
  ): Promise<RegisteredVersion> {
    const { kind, version: number } = await this.get(caller, name, version);
    await this.notes.update(caller, kind, name, number, { description: checkedDescription(description) });
    return this.get(caller, name, version);
  }

  async transition(
    caller: Caller,
    name: string,
    version: string,
    given: { stage: string; archiveOthers: boolean },
  ): Promise<RegisteredVersion> {
    const stage = stageOf(given.stage);
    if (given.archiveOthers && !ACTIVE_STAGES.includes(stage))
      throw new MlflowError(
        'INVALID_PARAMETER_VALUE',
        `Model version transition cannot archive existing model versions because '${given.stage}' is not an Active stage. Valid stages are ['Staging', 'Production']`,
      );
    const { kind, version: number } = await this.get(caller, name, version);
    await this.notes.transition(caller, kind, name, number, stage, given.archiveOthers);
    return this.get(caller, name, version);
  }

  async delete(caller: Caller, name: string, version: string): Promise<void> {
    const { kind, version: number } = await this.get(caller, name, version);
    await this.retirement.retireVersion(caller, kind, name, number);
  }

  /** Where the files are: in this registry, where the version has its own, else where it was registered from. */
  async getDownloadUri(caller: Caller, name: string, version: string): Promise<string> {
    return this.downloadUriOf(caller, await this.get(caller, name, version), MOST_COPIES);
  }

  private async downloadUriOf(caller: Caller, found: RegisteredVersion, copies: number): Promise<string> {
    const { format, source } = JSON.parse(found.content) as { format?: string; source?: string };
    if (source === undefined) return versionArtifactUri(found.id);
    // What was registered from elsewhere stays there, whatever is added to the version.
    const isOurs = format !== 'mlflow' || /^(runs|models|mlflow-artifacts):/i.test(source);
    if (isOurs && found.hasArtifacts) return versionArtifactUri(found.id);
    // A copy of what is elsewhere is where its original is.
    const [, name, version] = /^models:\/([^/]+)\/(\d+)$/.exec(source) ?? [];
    const original =
      name !== undefined && copies > 0
        ? await this.reader.findVersion(caller, name, Number(version))
        : undefined;
    return original ? this.downloadUriOf(caller, original, copies - 1) : source;
  }

  async setTag(caller: Caller, name: string, version: string, tag: Pair): Promise<void> {
    assertTag(tag);
    const found = await this.get(caller, name, version);
    if (isFixed(found, tag.key, tag.value)) return;
    await this.notes.update(caller, found.kind, name, found.version, { tags: { [tag.key]: tag.value } });
  }

  async deleteTag(caller: Caller, name: string, version: string, key: string): Promise<void> {
    assertTagKey(key);
    const found = await this.get(caller, name, version);
    if (isFixed(found, key, undefined)) return;
    await this.notes.update(caller, found.kind, name, found.version, { tags: { [key]: null } });
  }
}

function isFixed({ kind, content }: RegisteredVersion, key: string, value: string | undefined): boolean {
  return kind === 'prompt' && isFixedTag(JSON.parse(content) as StoredPrompt, key, value);
}
