import { WORKSPACE_HEADER } from './feedback-message.js';
import { sizeOf, type OutgoingMessage } from './kafka-producer.js';

/** Another one when a field goes or changes its meaning; new fields may come at any time. */
export const SCHEMA = 'inference/1';

/** A row as `GET /api/v1/inferences/{id}` shows it. */
export interface PublishedRow extends Readonly<Record<string, unknown>> {
  readonly id: string;
  readonly unit: string | null;
  readonly workspaceId: string;
}

/** What callers and models wrote; error messages quote it. */
const PAYLOAD = ['errorMessage', 'metadata', 'request', 'response', 'requestDigest', 'responseDigest'];

/**
 * @param maxBytes beyond them it goes without its payload.
 * @returns the message, and whether its payload was too large.
 */
export function inferenceMessage(
  row: PublishedRow,
  workspace: string,
  { withPayload, maxBytes }: { readonly withPayload: boolean; readonly maxBytes: number },
): { message: OutgoingMessage; isCut: boolean } {
  const { workspaceId: _, place: __, ...all } = row;
  if (withPayload) {
    const message = toMessage(row, { workspace, ...all, payloadOmitted: false }, workspace);
    if (sizeOf(message) <= maxBytes) return { message, isCut: false };
  }
  const metadata = Object.fromEntries(Object.entries(all).filter(([field]) => !PAYLOAD.includes(field)));
  return {
    message: toMessage(
      row,
      { workspace, ...metadata, ...(withPayload && { payloadOmitted: true }) },
      workspace,
    ),
    isCut: withPayload,
  };
}

/** All of a unit goes to one partition, in the order of arrival. */
const toMessage = ({ unit, id }: PublishedRow, value: object, workspace: string): OutgoingMessage => ({
  key: Buffer.from(unit ?? id),
  value: Buffer.from(JSON.stringify(value)),
  headers: { 'content-type': 'application/json', 'catena-schema': SCHEMA, [WORKSPACE_HEADER]: workspace },
});
