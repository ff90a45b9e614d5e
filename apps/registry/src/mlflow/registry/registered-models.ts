import { Injectable } from '@nestjs/common';
import { AliasService } from '../../entries/aliases/alias.service.js';
import { EntryService } from '../../entries/entry.service.js';
import { RegistryReader, type RegisteredEntry } from '../../entries/registry.reader.js';
import { RetirementService } from '../../entries/versions/retirement.service.js';
import { SharedNames, type SharedKind } from '../../entries/shared-names.js';
import type { Caller } from '../../http/caller.js';
import { isRefusal } from '../protocol/mlflow-error.js';
import type { Pair } from '../tracking/log-rules.js';
import { isKindTag, isPromptTags } from './prompt-tags.js';
import { IS_PROMPT_TAG } from '../../entries/registry-filter.js';
import { nameTaken, noModel, noVersion } from './registry-refusals.js';
import {
  assertAlias,
  assertModelName,
  assertNewAlias,
  assertTag,
  assertTagKey,
  checkedDescription,
  checkedTags,
  versionNumber,
} from './registry-rules.js';

/** Registered models of MLflow's protocol: our models, and our prompts under the tag that marks them. */
@Injectable()
export class RegisteredModels {
  constructor(
    private readonly reader: RegistryReader,
    private readonly names: SharedNames,
    private readonly entries: EntryService,
    private readonly aliases: AliasService,
    private readonly retirement: RetirementService,
  ) {}

  async create(
    caller: Caller,
    given: { name: string; tags: readonly Pair[]; description: string | undefined },
  ): Promise<RegisteredEntry> {
    assertModelName(given.name);
    const all = checkedTags(given.tags);
    const kind: SharedKind = isPromptTags(all) ? 'prompt' : 'model';
    const { [IS_PROMPT_TAG]: _, ...tags } = all;
    const { name } = given;
    try {
      await this.names.create(caller, kind, {
        name,
        description: checkedDescription(given.description),
        tags,
      });
    } catch (error) {
      if (!isRefusal(error, 'ALREADY_EXISTS')) throw error;
      throw nameTaken(name, kind, (error.details as { kind: SharedKind }).kind);
    }
    return this.get(caller, name);
  }

  async get(caller: Caller, name: string): Promise<RegisteredEntry> {
    assertModelName(name);
    const entry = await this.reader.findEntry(caller, name);
    if (!entry) throw noModel(name);
    return entry;
  }

  async update(caller: Caller, name: string, description: string | undefined): Promise<RegisteredEntry> {
    const kind = await this.kindOf(caller, name);
    await this.entries.update(caller, kind, name, { description: checkedDescription(description) });
    return this.get(caller, name);
  }

  async rename(caller: Caller, name: string, newName: string): Promise<RegisteredEntry> {
    assertModelName(newName, 'new_name');
    const kind = await this.kindOf(caller, name);
    try {
      await this.names.rename(caller, kind, name, newName);
    } catch (error) {
      if (isRefusal(error, 'ALREADY_EXISTS')) throw nameTaken(newName, 'model', 'model');
      throw error;
    }
    return this.get(caller, newName);
  }

  async delete(caller: Caller, name: string): Promise<void> {
    await this.retirement.retireEntry(caller, await this.kindOf(caller, name), name);
  }

  async setTag(caller: Caller, name: string, tag: Pair): Promise<void> {
    assertTag(tag);
    const kind = await this.kindOf(caller, name);
    if (isKindTag(kind, tag.key, tag.value)) return;
    await this.entries.update(caller, kind, name, { tags: { [tag.key]: tag.value } });
  }

  async deleteTag(caller: Caller, name: string, key: string): Promise<void> {
    assertTagKey(key);
    const kind = await this.kindOf(caller, name);
    if (isKindTag(kind, key, undefined)) return;
    await this.entries.update(caller, kind, name, { tags: { [key]: null } });
  }

  async setAlias(caller: Caller, name: string, alias: string, version: string): Promise<void> {
    assertNewAlias(alias);
    const number = versionNumber(version);
    const kind = await this.kindOf(caller, name, noVersion(name, version));
    if (number === 0) throw noVersion(name, version);
    try {
      await this.aliases.move(caller, kind, name, alias, { version: number });
    } catch (error) {
      if (isRefusal(error, 'REFERENCE_NOT_FOUND', 'REFERENCE_ARCHIVED')) throw noVersion(name, version);
      throw error;
    }
  }

  /** An alias that is not there is as good as deleted. */
  async deleteAlias(caller: Caller, name: string, alias: string): Promise<void> {
    assertAlias(alias);
    const kind = await this.kindOf(caller, name);
    try {
      await this.aliases.remove(caller, kind, name, alias, {});
    } catch (error) {
      if (!isRefusal(error, 'NOT_FOUND')) throw error;
    }
  }

  private async kindOf(caller: Caller, name: string, refusal = noModel(name)): Promise<SharedKind> {
    assertModelName(name);
    const kind = await this.names.find(caller, name);
    if (kind === undefined) throw refusal;
    return kind;
  }
}
