import { EVENT_NOUNS, type EventType } from './event-types.js';
import { typed, type RegistryEvent, type TypedEvent } from './registry-event.js';
import { KINDS } from '#libs/core/content/schemas.js';

const DIGEST = `sha256:${'0'.repeat(64)}`;
const CONTENTS = {
  prompt: { type: 'text', text: 'Hello {{name}}!' },
  model: { source: 'models:/123', runId: 'abcd1234abcd5678' },
  chain: {},
} as const;

/** What a webhook is sent when it is tested: an event of each type, for models and prompts with MLflow's values. */
export function exampleEvent(type: EventType): TypedEvent {
  for (const kind of KINDS) {
    const base = { kind, name: `example_${kind}` };
    const tags = { example_key: 'example_value' };
    const noun = kind === 'model' ? 'registered model' : kind;
    const candidates: RegistryEvent[] = [
      { ...base, happened: 'created', tags, description: `An example ${noun}` },
      {
        ...base,
        happened: 'version created',
        version: 1,
        digest: DIGEST,
        content: CONTENTS[kind],
        tags,
        description: `An example ${kind} version`,
      },
      ...[undefined, 1].flatMap((version): RegistryEvent[] => {
        const tag = { ...base, ...(version !== undefined && { version }), key: 'example_key' };
        return [
          { ...tag, happened: 'tag set', value: 'example_value' },
          { ...tag, happened: 'tag deleted' },
        ];
      }),
      ...[2, null].map((version): RegistryEvent => {
        return {
          ...base,
          happened: 'alias moved',
          alias: 'example_alias',
          version,
          previousVersion: 1,
          revision: 2,
        };
      }),
    ];
    const found = candidates.map(typed).find((candidate) => candidate.type === type);
    if (found) return found;
  }
  return { type, data: { name: 'example' } };
}

export const EXAMPLE_TYPE: EventType = `${EVENT_NOUNS.model.alias}.created`;
