import { NAME_PATTERN } from '../content/schemas.js';
import type { FeedbackEvent, FeedbackTarget } from './feedback-event.js';
import type { Fields } from './fields.js';

/** Bytes. With the name and the id of an event it fits into an entry of an index: 2704 bytes. */
const MAX_ID = 512;

const MAX_NAME = 256;
const NAME = /^[\p{L}\p{N}_][\p{L}\p{N}_./ -]{0,127}$/u;
const ENDPOINT = new RegExp(NAME_PATTERN);
const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/i;

/** What is judged, and by which source: what events and links have in common. */
export type FeedbackAbout = FeedbackTarget & Pick<FeedbackEvent, 'endpoint' | 'name' | 'sourceId'>;

/** Reads it; what is wrong with it is noted in `fields`. */
export function readAbout(fields: Fields): FeedbackAbout {
  const target = readTarget(fields);
  const name = fields.text('name', MAX_NAME);
  if (name === null) fields.refuse('name', 'is missing: say what is judged, for instance "thumbs"');
  else if (!NAME.test(name))
    fields.refuse(
      'name',
      'must have 1 to 128 letters, digits, spaces or any of "_", ".", "-" and "/", and begin with a letter, a digit or "_"',
    );
  const endpoint = fields.text('endpoint', MAX_ID);
  if (endpoint !== null && !ENDPOINT.test(endpoint))
    fields.refuse('endpoint', 'is no name of a serving endpoint');
  return { ...target, endpoint, name: name ?? '', sourceId: fields.text('sourceId', MAX_ID) };
}

function readTarget(fields: Fields): FeedbackTarget {
  const inferenceId = fields.text('inferenceId', MAX_ID)?.toLowerCase() ?? null;
  if (inferenceId !== null && !UUID_V7.test(inferenceId))
    fields.refuse(
      'inferenceId',
      'must be a UUIDv7, as in header x-catena-inference-id; an id of your own goes into "clientRequestId"',
    );
  const clientRequestId = fields.text('clientRequestId', MAX_ID);
  const unit = fields.text('unit', MAX_ID);
  const given = ['inferenceId', 'clientRequestId', 'unit'].filter((name) => fields.has(name));
  if (given.length === 0)
    fields.refuse('', 'must say what it is about: "inferenceId", "clientRequestId" or "unit"');
  if (given.length > 1)
    fields.refuse(
      '',
      `must be about one thing: leave only one of ${given.map((name) => `"${name}"`).join(' and ')}`,
    );
  return { inferenceId, clientRequestId, unit };
}
