import { EVENT_TYPES, type EventType } from '../../webhooks/event-types.js';
import { MlflowError } from '../protocol/mlflow-error.js';

/** Names and numbers of MLflow's enum `WebhookEntity`. */
export const ENTITIES = {
  REGISTERED_MODEL: 1,
  MODEL_VERSION: 2,
  MODEL_VERSION_TAG: 3,
  MODEL_VERSION_ALIAS: 4,
  PROMPT: 5,
  PROMPT_VERSION: 6,
  PROMPT_TAG: 7,
  PROMPT_VERSION_TAG: 8,
  PROMPT_ALIAS: 9,
  BUDGET_POLICY: 10,
} as const;

/** Names and numbers of MLflow's enum `WebhookAction`. */
export const ACTIONS = { CREATED: 1, UPDATED: 2, DELETED: 3, SET: 4, EXCEEDED: 5 } as const;

export interface MlflowEvent {
  readonly entity: keyof typeof ENTITIES;
  readonly action: keyof typeof ACTIONS;
}

/** Native types that MLflow's clients can name. */
export const KNOWN_TYPES: readonly EventType[] = EVENT_TYPES.filter((type) => toMlflow(type) !== undefined);

/** @returns undefined for what MLflow has no word for, such as chains. */
export function toMlflow(type: EventType): MlflowEvent | undefined {
  const [entity = '', action = ''] = type.toUpperCase().split('.');
  return entity in ENTITIES ? ({ entity, action } as MlflowEvent) : undefined;
}

/** @throws MlflowError when MLflow has no such event. */
export function fromMlflow({ entity, action }: MlflowEvent): EventType {
  const type = `${entity}.${action}`.toLowerCase();
  const known = KNOWN_TYPES.find((candidate) => candidate === type);
  if (known !== undefined) return known;
  const valid = KNOWN_TYPES.flatMap((candidate) => {
    const [of, what = ''] = candidate.split('.');
    return of === entity.toLowerCase() ? [`'${what}'`] : [];
  });
  throw new MlflowError(
    'INVALID_PARAMETER_VALUE',
    `Invalid action '${action.toLowerCase()}' for entity '${entity.toLowerCase()}'. Valid actions are: [${valid.sort().join(', ')}]`,
  );
}
