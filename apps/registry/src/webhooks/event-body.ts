import type { EventType } from './event-types.js';

/**
 * The JSON body of a delivery: the envelope of Standard Webhooks (`type`, `timestamp`, `data`) together with
 * MLflow's (`entity`, `action`, `timestamp`, `data`, `workspace`).
 */
export function eventBody(
  type: EventType,
  at: Date,
  workspace: string,
  data: Readonly<Record<string, unknown>>,
): string {
  const [entity, action] = type.split('.');
  // `+00:00`, because Python before 3.11 reads no `Z`.
  const timestamp = at.toISOString().replace('Z', '+00:00');
  return JSON.stringify({ type, entity, action, timestamp, workspace, data });
}
