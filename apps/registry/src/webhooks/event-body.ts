import type { TypedEvent } from './registry-event.js';

/**
 * The JSON body of a delivery: the envelope of Standard Webhooks (`type`, `timestamp`, `data`) together with
 * MLflow's (`entity`, `action`, `timestamp`, `data`, `workspace`). What MLflow does not tell stands beside, in
 * `details`: there are receivers that compare the whole of `data`.
 */
export function eventBody({ type, data, details }: TypedEvent, at: Date, workspace: string): string {
  const [entity, action] = type.split('.');
  // `+00:00`, because Python before 3.11 reads no `Z`.
  const timestamp = at.toISOString().replace('Z', '+00:00');
  return JSON.stringify({ type, entity, action, timestamp, workspace, data, details });
}
