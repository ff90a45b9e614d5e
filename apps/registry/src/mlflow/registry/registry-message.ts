import type { ModelContent, StoredPrompt } from '#libs/core/content/types.js';
import { IS_PROMPT_TAG } from '../../entries/registry-filter.js';
import type { RegisteredEntry, RegisteredVersion } from '../../entries/registry.reader.js';
import { versionArtifactUri } from '../../entries/versions/version-artifact-uri.js';
import { PROMPT_SOURCES, promptTagsOf } from './prompt-tags.js';

type Tags = Readonly<Record<string, string>>;

export function modelMessage(entry: RegisteredEntry): object {
  const { name, createdMs, updatedMs, description } = entry;
  return {
    name,
    creation_timestamp: createdMs,
    last_updated_timestamp: updatedMs,
    user_id: userOf(entry.createdBy),
    description: description ?? undefined,
    latest_versions: entry.latest.map(versionMessage),
    tags: tagList(entry.kind === 'prompt' ? { ...entry.tags, [IS_PROMPT_TAG]: 'true' } : entry.tags),
    aliases: entry.aliases.map(({ alias, version }) => ({ alias, version: String(version) })),
  };
}

export function versionMessage(version: RegisteredVersion): object {
  return {
    name: version.name,
    version: String(version.version),
    creation_timestamp: version.createdMs,
    last_updated_timestamp: version.updatedMs,
    user_id: userOf(version.createdBy),
    current_stage: version.stage,
    // MLflow's server describes a model version that nobody described as "".
    description: version.description ?? (version.kind === 'model' ? '' : undefined),
    ...(version.kind === 'prompt' ? promptFields(version) : modelFields(version)),
    status: 'READY',
    aliases: version.aliases,
  };
}

function promptFields({ content, tags }: RegisteredVersion): object {
  return {
    source: PROMPT_SOURCES[0],
    tags: tagList({ ...tags, ...promptTagsOf(JSON.parse(content) as StoredPrompt) }),
  };
}

function modelFields({ id, content, tags }: RegisteredVersion): object {
  const model = JSON.parse(content) as ModelContent;
  return {
    source: model.source ?? versionArtifactUri(id),
    ...(model.format === 'mlflow' && {
      run_id: model.runId,
      run_link: model.runLink,
      model_id: model.modelId,
    }),
    tags: tagList(tags),
  };
}

const tagList = (tags: Tags): object[] => Object.entries(tags).map(([key, value]) => ({ key, value }));

/** Nobody in particular is not worth a field. */
const userOf = (actor: string): string | undefined => (actor === 'anonymous' ? undefined : actor);
