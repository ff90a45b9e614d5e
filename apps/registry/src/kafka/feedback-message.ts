import type { FeedbackEvent } from '#libs/core/feedback/feedback-event.js';
import { readEvent } from '#libs/core/feedback/read-feedback.js';
import type { WorkspaceNames } from './kafka-workspaces.js';

/** Names the workspace that the feedback is for. */
export const WORKSPACE_HEADER = 'catena-workspace';
/** Characters: a reason quotes names of fields, and becomes a header of the dead letter. */
const MAX_REASON = 1_000;

/** What is looked at of a message. */
export interface FeedbackMessage {
  readonly topic: string;
  readonly partition: number;
  readonly offset: bigint;
  /** Milliseconds since 1970; -1: none. */
  readonly timestamp: bigint;
  /** Kafka's tombstones have none. */
  readonly value: Buffer | null | undefined;
  readonly headers: ReadonlyMap<string, string>;
}

export type MessageReading =
  { readonly workspaceId: string; readonly event: FeedbackEvent } | { readonly malformed: string };

/**
 * Reads the one event that a message carries: JSON, as `POST /v1/feedback` takes it. Without an event id its place names
 * it, and without a time, its timestamp is its time: both are the same however often it is delivered.
 */
export function readMessage(
  message: FeedbackMessage,
  workspaces: WorkspaceNames,
  nowMs: number,
): MessageReading {
  const reading = read(message, workspaces, nowMs);
  return 'malformed' in reading ? { malformed: reading.malformed.slice(0, MAX_REASON) } : reading;
}

function read(message: FeedbackMessage, workspaces: WorkspaceNames, nowMs: number): MessageReading {
  const workspace = message.headers.get(WORKSPACE_HEADER) ?? workspaces.first;
  const workspaceId = workspaces.idOf.get(workspace);
  if (workspaceId === undefined)
    return {
      malformed: `there is no workspace "${workspace}", or CATENA_KAFKA_WORKSPACES does not name it`,
    };
  const body = parse(message.value);
  if (typeof body === 'string') return { malformed: body };
  const { givenAt, ...others } = body.given as Record<string, unknown>;
  const event = readEvent({ ...others, givenAt: givenAt ?? timeOf(message, nowMs) }, '', {
    nowMs,
    eventId: () => placeOf(message),
  });
  if ('eventId' in event) return { workspaceId, event };
  return { malformed: event.problems.map(({ path, message: what }) => `${path} ${what}`.trim()).join('; ') };
}

function parse(value: Buffer | null | undefined): { given: object } | string {
  if (!value || value.length === 0) return 'the message is empty';
  try {
    const given: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(value));
    if (typeof given === 'object' && given !== null && !Array.isArray(given)) return { given };
  } catch {
    return 'it is no JSON in UTF-8';
  }
  return 'it must be a JSON object: one event';
}

function timeOf({ timestamp }: FeedbackMessage, nowMs: number): string {
  const timeMs = Number(timestamp);
  return new Date(timeMs > 0 && timeMs <= nowMs ? timeMs : nowMs).toISOString();
}

/**
 * Two topics of one name, one made after the other was removed, have the same offsets but hardly the same timestamps.
 * Padded, so that of two judgements of one millisecond the later one is greater.
 */
function placeOf({ topic, partition, offset, timestamp }: FeedbackMessage): string {
  return `kafka:${topic.slice(-128)}:${partition}:${String(offset).padStart(19, '0')}:${timestamp}`;
}
