import type { Problem } from '../content/problems.js';
import { nestsTooDeeply } from '../nesting/nesting.js';
import { Fields, isObject, MAX_PROBLEMS, wrongText } from './fields.js';
import { readAbout } from './read-about.js';
import { FEEDBACK_KINDS, FEEDBACK_SOURCES, type FeedbackEvent, type FeedbackKind } from './feedback-event.js';

/** Most events in one request. */
export const MAX_EVENTS = 1000;
/** Bytes. */
const MAX_EVENT_ID = 256;
const MAX_CATEGORY = 256;
const MAX_COMMENT = 10_000;
const MAX_TEXT = 262_144;
const MAX_PAIRS = 64;
const MAX_PAIR = 1024;
/** So that squares of sums stay far from the limits of a double. */
const MAX_NUMBER = 1e15;
/** A judgement of the future would count for ever: it may lie this far ahead, for clocks differ. */
const MAX_AHEAD_MS = 10 * 60_000;

/** Made by gateways from links, so that nobody else can take them. */
export const LINK_PREFIX = 'link:';

const FIELDS: ReadonlySet<string> = new Set([
  'eventId',
  'inferenceId',
  'clientRequestId',
  'unit',
  'endpoint',
  'name',
  'kind',
  'value',
  'source',
  'sourceId',
  'comment',
  'metadata',
  'givenAt',
]);

export interface FeedbackDefaults {
  /** When it was received, in milliseconds since 1970. */
  readonly nowMs: number;
  /** The id of an event that came without. */
  readonly eventId: () => string;
}

/** Events, or what is wrong with them: one entry per bad field. */
export type FeedbackReading =
  | { readonly events: readonly FeedbackEvent[]; readonly problems?: undefined }
  | { readonly events?: undefined; readonly problems: readonly Problem[] };

/**
 * Checks what a caller sent: one event, or `{ "events": [ … ] }`. All or nothing.
 * @param body parsed JSON.
 */
export function readFeedback(body: unknown, defaults: FeedbackDefaults): FeedbackReading {
  if (!isObject(body) || !('events' in body)) {
    const reading = readEvent(body, '', defaults);
    return 'eventId' in reading ? { events: [reading] } : reading;
  }
  const { events } = body;
  const unknown = Object.keys(body).find((name) => name !== 'events');
  if (unknown !== undefined)
    return refused(
      `/${unknown.slice(0, 100)}`,
      'is an unknown field beside "events"; put it into each event, or remove it',
    );
  if (!Array.isArray(events) || events.length === 0 || events.length > MAX_EVENTS)
    return refused('/events', `must be a list of 1 to ${MAX_EVENTS} events; send more in further requests`);
  const good: FeedbackEvent[] = [];
  const problems: Problem[] = [];
  for (const [index, event] of events.entries()) {
    const reading = readEvent(event, `/events/${index}`, defaults);
    if ('eventId' in reading) good.push(reading);
    else problems.push(...reading.problems);
    if (problems.length >= MAX_PROBLEMS) break;
  }
  return problems.length > 0 ? { problems: problems.slice(0, MAX_PROBLEMS) } : { events: good };
}

/**
 * Checks one event.
 * @param path JSON Pointer of it, for the messages.
 */
export function readEvent(
  given: unknown,
  path: string,
  defaults: FeedbackDefaults,
): FeedbackEvent | { readonly problems: readonly Problem[] } {
  if (!isObject(given)) return refused(path, 'must be a JSON object: one event');
  const fields = new Fields(given, path);
  fields.refuseUnknown(FIELDS);
  const about = readAbout(fields);
  const eventId = fields.text('eventId', MAX_EVENT_ID) ?? defaults.eventId();
  if (eventId.startsWith(LINK_PREFIX))
    fields.refuse('eventId', `must not begin with "${LINK_PREFIX}": feedback links make such ids`);
  const value = readValue(fields);
  const event: FeedbackEvent = {
    ...about,
    ...value,
    eventId,
    source: fields.oneOf('source', FEEDBACK_SOURCES) ?? 'human',
    comment: fields.text('comment', MAX_COMMENT),
    metadata: readMetadata(fields),
    givenAt: readTime(fields, defaults.nowMs),
  };
  return fields.problems.length > 0 ? { problems: fields.problems } : event;
}

function readValue(fields: Fields): Pick<FeedbackEvent, 'kind' | 'numberValue' | 'textValue'> {
  const value = fields.get('value');
  const kind = fields.oneOf('kind', FEEDBACK_KINDS) ?? KIND_OF[typeof value] ?? null;
  const none = { kind: kind ?? 'text', numberValue: null, textValue: null };
  if (value === undefined || value === null) {
    fields.refuse('value', 'is missing: send the judgement, for instance true, 4 or "wrong tone"');
    return none;
  }
  if (kind === null) {
    if (!fields.has('kind'))
      fields.refuse('kind', 'is missing: a text may be a "category", a "text" or a "correction"; say which');
    return none;
  }
  const problem = WRONG_VALUE[kind](value);
  if (problem !== undefined) {
    fields.refuse('value', problem);
    return none;
  }
  if (typeof value === 'boolean' || typeof value === 'number')
    return { kind, numberValue: Number(value), textValue: null };
  return { kind, numberValue: null, textValue: typeof value === 'string' ? value : JSON.stringify(value) };
}

const KIND_OF: Readonly<Record<string, FeedbackKind>> = { boolean: 'boolean', number: 'number' };

/** What is wrong with the value of an event of this kind; undefined where nothing is. */
export const WRONG_VALUE: Readonly<Record<FeedbackKind, (value: unknown) => string | undefined>> = {
  boolean: (value) =>
    typeof value === 'boolean' ? undefined : 'must be true or false, for its kind is "boolean"',
  number: (value) =>
    typeof value === 'number' && Math.abs(value) <= MAX_NUMBER
      ? undefined
      : `must be a number between -${MAX_NUMBER} and ${MAX_NUMBER}, for its kind is "number"`,
  category: (value) => wrongText(value, MAX_CATEGORY) ?? (value === '' ? 'must not be empty' : undefined),
  text: (value) => wrongText(value, MAX_TEXT),
  correction: (value) => {
    if (typeof value === 'string') return wrongText(value, MAX_TEXT);
    if (typeof value !== 'object') return 'must be the text, object or list that should have been the output';
    // First, for what is nested too deeply cannot be written as JSON.
    if (nestsTooDeeply(value, Infinity)) return 'is nested too deeply';
    if (holdsInfinity(value)) return 'holds a number that is too large; send it as text';
    if (Buffer.byteLength(JSON.stringify(value)) > MAX_TEXT)
      return `must have at most ${MAX_TEXT} bytes as JSON`;
    return undefined;
  },
};

/** JSON says numbers of any size, and what is beyond a double is read as infinite. Written again it would be null. */
function holdsInfinity(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return value === Infinity || value === -Infinity;
  return Object.values(value).some(holdsInfinity);
}

function readMetadata(fields: Fields): string | null {
  const value = fields.get('metadata') ?? null;
  if (value === null) return null;
  if (!isObject(value) || Object.keys(value).length > MAX_PAIRS) {
    fields.refuse('metadata', `must be an object of at most ${MAX_PAIRS} fields`);
    return null;
  }
  for (const [name, item] of Object.entries(value)) {
    const isScalar = typeof item === 'string' || Number.isFinite(item) || typeof item === 'boolean';
    if (
      !isScalar ||
      wrongText(name, MAX_PAIR) !== undefined ||
      wrongText(String(item), MAX_PAIR) !== undefined
    ) {
      fields.refuse(
        'metadata',
        `must be flat: fields of at most ${MAX_PAIR} bytes with texts, numbers (of a double) or booleans; "${name.slice(0, 50)}" is not`,
      );
      return null;
    }
  }
  return JSON.stringify(value);
}

function readTime(fields: Fields, nowMs: number): string {
  const timeMs = fields.time('givenAt') ?? nowMs;
  if (timeMs > nowMs + MAX_AHEAD_MS)
    fields.refuse(
      'givenAt',
      'lies in the future; send the time at which the judgement was given, or leave it out',
    );
  return new Date(timeMs).toISOString();
}

function refused(path: string, message: string): { problems: readonly Problem[] } {
  return { problems: [{ path, message }] };
}
