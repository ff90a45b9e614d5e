import type { ReceivedFeedback } from './feedback-event.js';

const COLUMNS = {
  id: ['id', 'uuid'],
  workspace_id: ['workspaceId', 'uuid'],
  event_id: ['eventId', 'text'],
  inference_id: ['inferenceId', 'uuid'],
  client_request_id: ['clientRequestId', 'text'],
  unit: ['unit', 'text'],
  endpoint: ['endpoint', 'text'],
  name: ['name', 'text'],
  kind: ['kind', 'text'],
  number_value: ['numberValue', 'float8'],
  text_value: ['textValue', 'text'],
  source: ['source', 'text'],
  source_id: ['sourceId', 'text'],
  comment: ['comment', 'text'],
  metadata: ['metadata', 'jsonb'],
  given_at: ['givenAt', 'timestamptz'],
  received_at: ['receivedAt', 'timestamptz'],
} as const satisfies Record<string, readonly [field: keyof ReceivedFeedback, type: string]>;

const NAMES = Object.keys(COLUMNS).join(', ');
const ARRAYS = Object.values(COLUMNS)
  .map(([, type], index) => `$${index + 1}::${type}[]`)
  .join(', ');

/**
 * Stores events, each once, whoever else stores them at the same time; answers the ids of those that are new. An event
 * id that is there already keeps its first content. In the order of their ids, so that two batches that hold the same
 * events wait for each other in one direction only. Of the same event twice in a batch the first is taken.
 */
export const STORE_FEEDBACK = {
  name: 'store-feedback',
  text: `INSERT INTO feedback (${NAMES})
         SELECT ${NAMES} FROM unnest(${ARRAYS}) WITH ORDINALITY AS event (${NAMES}, place)
          ORDER BY workspace_id, event_id, place
         ON CONFLICT (workspace_id, event_id) DO NOTHING RETURNING id`,
} as const;

/** Parameters of `STORE_FEEDBACK`: one array per column. */
export function storeFeedbackValues(events: readonly ReceivedFeedback[]): unknown[][] {
  return Object.values(COLUMNS).map(([field]) => events.map((event) => event[field]));
}
