import type { Kind } from '#libs/core/content/schemas.js';
import { promptToMlflow } from '#libs/core/content/mlflow-prompt.js';
import type { StoredPrompt } from '#libs/core/content/types.js';
import { EVENT_NOUNS, type EventType } from './event-types.js';

type Tags = Readonly<Record<string, string>>;

/** What happened to an entry, in the words of the registry. */
export type RegistryEvent = { readonly kind: Kind; readonly name: string } & (
  | { readonly happened: 'created'; readonly tags: Tags; readonly description: string | null }
  | {
      readonly happened: 'version created';
      readonly version: number;
      readonly digest: string;
      readonly content: unknown;
      readonly tags: Tags;
      readonly description: string | null;
    }
  | { readonly happened: 'tag set'; readonly version?: number; readonly key: string; readonly value: string }
  | { readonly happened: 'tag deleted'; readonly version?: number; readonly key: string }
  | {
      readonly happened: 'alias moved';
      readonly alias: string;
      /** null: the alias was taken away. */
      readonly version: number | null;
      readonly previousVersion: number | null;
      /** Of the alias; grows with every move, so that a receiver can tell late events. */
      readonly revision: number;
    }
);

export interface TypedEvent {
  readonly type: EventType;
  /** As MLflow writes it. */
  readonly data: Readonly<Record<string, unknown>>;
  /** What MLflow does not tell. */
  readonly details?: Readonly<Record<string, unknown>>;
}

/** The type and the payload under which webhooks learn of an event. */
export function typed(event: RegistryEvent): TypedEvent {
  const { kind, name } = event;
  const nouns = EVENT_NOUNS[kind];
  switch (event.happened) {
    case 'created':
      return {
        type: `${nouns.entry}.created`,
        data: { name, tags: event.tags, description: event.description },
      };
    case 'version created':
      return {
        type: `${nouns.version}.created`,
        data: {
          name,
          version: String(event.version),
          ...detailsOf(kind, event.content),
          tags: event.tags,
          description: event.description,
        },
        details: { digest: event.digest },
      };
    case 'tag set':
      return { ...tagType(event, 'set'), data: { ...tagOf(event), value: event.value } };
    case 'tag deleted':
      return { ...tagType(event, 'deleted'), data: tagOf(event) };
    case 'alias moved': {
      const data = { name, alias: event.alias };
      const details = {
        previous_version: event.previousVersion === null ? null : String(event.previousVersion),
        revision: event.revision,
      };
      return event.version === null
        ? { type: `${nouns.alias}.deleted`, data, details }
        : { type: `${nouns.alias}.created`, data: { ...data, version: String(event.version) }, details };
    }
  }
}

interface TagEvent {
  readonly kind: Kind;
  readonly name: string;
  readonly version?: number;
  readonly key: string;
}

function tagType({ kind, version }: TagEvent, action: 'set' | 'deleted'): Pick<TypedEvent, 'type'> {
  const { entryTag, versionTag } = EVENT_NOUNS[kind];
  return { type: `${version === undefined ? entryTag : versionTag}.${action}` };
}

function tagOf({ name, version, key }: TagEvent): Record<string, unknown> {
  return { name, ...(version !== undefined && { version: String(version) }), key };
}

/** What MLflow says of a version beside its name: the template of a prompt, the origin of a model. */
function detailsOf(kind: Kind, content: unknown): Record<string, unknown> {
  if (kind === 'prompt') return { template: promptToMlflow(content as StoredPrompt).text };
  if (kind === 'model') {
    const { source = null, runId = null } = content as { source?: string; runId?: string };
    return { source, run_id: runId };
  }
  return {};
}
