import type { Kind } from '#libs/core/content/schemas.js';

/** How the events of one kind are called. The names of models and prompts are those of MLflow. */
interface Nouns {
  readonly entry: string;
  readonly entryTag: string;
  readonly version: string;
  readonly versionTag: string;
  readonly alias: string;
}

export const EVENT_NOUNS = {
  model: {
    entry: 'registered_model',
    entryTag: 'registered_model_tag',
    version: 'model_version',
    versionTag: 'model_version_tag',
    alias: 'model_version_alias',
  },
  prompt: {
    entry: 'prompt',
    entryTag: 'prompt_tag',
    version: 'prompt_version',
    versionTag: 'prompt_version_tag',
    alias: 'prompt_alias',
  },
  chain: {
    entry: 'chain',
    entryTag: 'chain_tag',
    version: 'chain_version',
    versionTag: 'chain_version_tag',
    alias: 'chain_alias',
  },
} as const satisfies Record<Kind, Nouns>;

type NounsOf<K extends Kind> = (typeof EVENT_NOUNS)[K];
type TypesOf<K extends Kind> =
  | `${NounsOf<K>['entry'] | NounsOf<K>['version'] | NounsOf<K>['alias']}.created`
  | `${NounsOf<K>['entryTag'] | NounsOf<K>['versionTag']}.${'set' | 'deleted'}`
  | `${NounsOf<K>['alias']}.deleted`;

/** `noun.action`. MLflow's clients also subscribe to `budget_policy.exceeded`; nothing has a budget yet. */
export type EventType = TypesOf<'model'> | TypesOf<'prompt'> | TypesOf<'chain'> | 'budget_policy.exceeded';

export const EVENT_TYPES: readonly EventType[] = [
  ...Object.values(EVENT_NOUNS).flatMap(({ entry, entryTag, version, versionTag, alias }) => [
    `${entry}.created` as const,
    `${entryTag}.set` as const,
    `${entryTag}.deleted` as const,
    `${version}.created` as const,
    `${versionTag}.set` as const,
    `${versionTag}.deleted` as const,
    `${alias}.created` as const,
    `${alias}.deleted` as const,
  ]),
  'budget_policy.exceeded',
];
