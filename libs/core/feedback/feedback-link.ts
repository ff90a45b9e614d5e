import type { Problem } from '../content/problems.js';
import { FEEDBACK_KINDS, type FeedbackEvent, type FeedbackKind } from './feedback-event.js';
import { Fields, isObject } from './fields.js';
import { readAbout, type FeedbackAbout } from './read-about.js';
import { LINK_PREFIX, readEvent, WRONG_VALUE, type FeedbackDefaults } from './read-feedback.js';

/** What a link lets whoever holds it say: one judgement about one thing, any number of times. */
export interface FeedbackLink extends FeedbackAbout {
  readonly workspaceId: string;
  readonly kind: FeedbackKind;
  /** The only values that are taken; null: any of the kind. */
  readonly values: readonly (string | number)[] | null;
  readonly expiresAtMs: number;
}

const MAX_VALUES = 20;
const DEFAULT_LIFE_DAYS = 30;
const MAX_LIFE_DAYS = 366;
const DAY_MS = 86_400_000;
const FIELDS: ReadonlySet<string> = new Set([
  'inferenceId',
  'clientRequestId',
  'unit',
  'endpoint',
  'name',
  'sourceId',
  'kind',
  'values',
  'expiresAt',
]);

/** Checks what a caller wants a link for. */
export function readLink(
  body: unknown,
  workspaceId: string,
  nowMs: number,
): FeedbackLink | { readonly problems: readonly Problem[] } {
  if (!isObject(body)) return { problems: [{ path: '', message: 'must be a JSON object: one link' }] };
  const fields = new Fields(body, '');
  fields.refuseUnknown(FIELDS);
  const about = readAbout(fields);
  const kind = fields.oneOf('kind', FEEDBACK_KINDS);
  if (!fields.has('kind')) fields.refuse('kind', `is missing: one of ${FEEDBACK_KINDS.join(', ')}`);
  const expiresAtMs = fields.time('expiresAt') ?? nowMs + DEFAULT_LIFE_DAYS * DAY_MS;
  if (expiresAtMs <= nowMs || expiresAtMs > nowMs + MAX_LIFE_DAYS * DAY_MS)
    fields.refuse('expiresAt', `must lie in the future, at most ${MAX_LIFE_DAYS} days ahead`);
  const link = { ...about, workspaceId, kind: kind ?? 'text', values: readValues(fields, kind), expiresAtMs };
  return fields.problems.length > 0 ? { problems: fields.problems } : link;
}

function readValues(fields: Fields, kind: FeedbackKind | null): FeedbackLink['values'] {
  const values = fields.get('values') ?? null;
  if (values === null) return null;
  if (kind !== 'number' && kind !== 'category')
    fields.refuse('values', 'has no place here: only numbers and categories can be limited to some values');
  else if (
    !Array.isArray(values) ||
    values.length === 0 ||
    values.length > MAX_VALUES ||
    values.some((value) => WRONG_VALUE[kind](value) !== undefined)
  )
    fields.refuse(
      'values',
      `must be a list of 1 to ${MAX_VALUES} ${kind === 'number' ? 'numbers' : 'texts of at most 256 bytes'} that an event takes`,
    );
  return values as FeedbackLink['values'];
}

/** What stands in a token: short names, for links are long enough. */
interface LinkClaims {
  readonly w: string;
  readonly i?: string;
  readonly r?: string;
  readonly u?: string;
  readonly e?: string;
  readonly n: string;
  readonly s?: string;
  readonly k: FeedbackKind;
  readonly v?: readonly (string | number)[];
  readonly x: number;
}

/** The link as text, to be signed. */
export function writeLink(link: FeedbackLink): string {
  const claims: LinkClaims = {
    w: link.workspaceId,
    ...(link.inferenceId !== null && { i: link.inferenceId }),
    ...(link.clientRequestId !== null && { r: link.clientRequestId }),
    ...(link.unit !== null && { u: link.unit }),
    ...(link.endpoint !== null && { e: link.endpoint }),
    n: link.name,
    ...(link.sourceId !== null && { s: link.sourceId }),
    k: link.kind,
    ...(link.values !== null && { v: link.values }),
    x: link.expiresAtMs,
  };
  return JSON.stringify(claims);
}

/** The link in a text that `writeLink` made: only after its signature was found good. */
export function parseLink(text: string): FeedbackLink {
  const { w, i, r, u, e, n, s, k, v, x } = JSON.parse(text) as LinkClaims;
  return {
    workspaceId: w,
    inferenceId: i ?? null,
    clientRequestId: r ?? null,
    unit: u ?? null,
    endpoint: e ?? null,
    name: n,
    sourceId: s ?? null,
    kind: k,
    values: v ?? null,
    expiresAtMs: x,
  };
}

/**
 * The judgement of someone who holds a link. Whoever presses again changes their mind: each press is an event of its own
 * about the same thing under the same name, of which the last counts.
 * @param digest short text that tells this link from all others.
 */
export function linkedEvent(
  link: FeedbackLink,
  digest: string,
  given: { readonly value: unknown; readonly comment?: unknown },
  nowMs: number,
): FeedbackEvent | { readonly problems: readonly Problem[] } {
  const { workspaceId: _, values, expiresAtMs: __, ...about } = link;
  const defaults: FeedbackDefaults = { nowMs, eventId: () => 'replaced' };
  const event = readEvent({ ...about, value: given.value, comment: given.comment }, '', defaults);
  if (!('eventId' in event)) return event;
  if (values && !values.includes(event.numberValue ?? event.textValue!))
    return {
      problems: [
        { path: '/value', message: `must be one of ${JSON.stringify(values)}: the link takes no other` },
      ],
    };
  return { ...event, eventId: `${LINK_PREFIX}${digest}:${nowMs}` };
}
