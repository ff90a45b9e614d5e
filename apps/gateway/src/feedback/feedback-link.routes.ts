import { Inject, Injectable } from '@nestjs/common';
import { createHash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { linkedEvent, parseLink, type FeedbackLink } from '#libs/core/feedback/feedback-link.js';
import type { Settings } from '#libs/platform/config/settings.js';
import type { Logger } from '#libs/platform/log/logger.js';
import { FEEDBACK_LINKS, LinkSigner } from '#libs/platform/secrets/link-signer.js';
import { GatewayError } from '../http/gateway-error.js';
import { readBody } from '../http/read-body.js';
import { failRequest, requestIdOf, sendJson } from '../http/respond.js';
import { Routes } from '../http/routes.js';
import { LOGGER_TOKEN, SETTINGS_TOKEN } from '../settings.module.js';
import { FeedbackIntake } from './feedback-intake.js';
import { badFeedback, bodyOf, parseJson } from './feedback.routes.js';
import { linkPage, PAGE_HEADERS, refusalPage, thanksPage } from './link-page.js';

const PATH = '/v1/feedback/links/';
const MAX_BODY_BYTES = 512 * 1024;
/** Presses of one link in a minute, so that nobody fills the spool with the one link they were sent. */
const MAX_PRESSES = 30;
const MINUTE_MS = 60_000;

/** Pages of any origin may ask: whoever holds a link may use it, and no cookie says more about them. */
const CORS = {
  'access-control-allow-origin': '*',
  'access-control-expose-headers': 'x-request-id, retry-after',
  'cache-control': 'no-store',
  // With `no-referrer` browsers would call the origin of the form's own POST "null".
  'referrer-policy': 'same-origin',
} as const;

/** What one press says. */
interface Press {
  readonly value: unknown;
  readonly comment?: unknown;
}

/**
 * `/v1/feedback/links/{token}`: judgements by whoever holds a link. GET shows a form and changes nothing, for scanners
 * of mail follow links; POST judges. No key is asked for, and nothing is looked up: the token says all.
 */
@Injectable()
export class FeedbackLinkRoutes {
  private readonly signer: LinkSigner;
  /** Since when presses are counted, and how many there were, by link. */
  private countedSinceMs = 0;
  private readonly presses = new Map<string, number>();

  constructor(
    routes: Routes,
    private readonly intake: FeedbackIntake,
    @Inject(SETTINGS_TOKEN) settings: Settings,
    @Inject(LOGGER_TOKEN) private readonly logger: Logger,
  ) {
    this.signer = new LinkSigner(settings.CATENA_ENCRYPTION_KEYS!, FEEDBACK_LINKS);
    routes.add({ method: 'OPTIONS', path: PATH, handle: (_, response) => allow(response) });
    routes.add({
      method: 'GET',
      path: PATH,
      handle: (request, response, token) => this.answer(request, response, () => this.show(token, response)),
    });
    routes.add({
      method: 'POST',
      path: PATH,
      handle: (request, response, token) =>
        this.answer(request, response, () => this.press(token, request, response)),
    });
  }

  private show(token: string, response: ServerResponse): void {
    sendPage(response, 200, linkPage(this.open(token)));
  }

  private async press(token: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    let link: FeedbackLink;
    try {
      link = this.open(token);
    } catch (error) {
      // Its body is not wanted, but whoever sends it must get to the answer.
      readBody(request, 0, () => undefined);
      throw error;
    }
    const given = readPress(await bodyOf(request, MAX_BODY_BYTES), request, link);
    const digest = createHash('sha256').update(token).digest('base64url').slice(0, 22);
    const nowMs = Date.now();
    this.count(digest, nowMs);
    const event = linkedEvent(link, digest, given, nowMs);
    if (!('eventId' in event)) throw badFeedback(event.problems);
    await this.intake.take(link.workspaceId, [event], 'link');
    if (isForm(request)) sendPage(response, 200, thanksPage());
    else
      sendJson(
        response,
        202,
        { accepted: 1, events: [{ eventId: event.eventId, status: 'accepted' }] },
        { ...CORS, 'x-request-id': requestIdOf(request) },
      );
  }

  /** @throws GatewayError 403 for a token that is not ours, 410 for one that has expired. */
  private open(token: string): FeedbackLink {
    const { payload, refusal } = this.signer.verify(token);
    if (payload === undefined) throw refusal === 'unknown key' ? UNKNOWN_KEY : FORGED;
    const link = parseLink(payload);
    if (Date.now() < link.expiresAtMs) return link;
    throw new GatewayError(
      410,
      'invalid_request_error',
      'link_expired',
      `This feedback link was good until ${new Date(link.expiresAtMs).toISOString()}; ask for a new one.`,
    );
  }

  private count(digest: string, nowMs: number): void {
    if (nowMs - this.countedSinceMs >= MINUTE_MS) {
      this.presses.clear();
      this.countedSinceMs = nowMs;
    }
    const presses = 1 + (this.presses.get(digest) ?? 0);
    this.presses.set(digest, presses);
    if (presses <= MAX_PRESSES) return;
    throw new GatewayError(
      429,
      'rate_limit_error',
      'too_many_presses',
      `This feedback link was used more than ${MAX_PRESSES} times in a minute; wait a moment.`,
      undefined,
      { 'retry-after': String(Math.ceil((this.countedSinceMs + MINUTE_MS - nowMs) / 1000)) },
    );
  }

  /** Refusals are for pages of other origins too, and for people. */
  private async answer(
    request: IncomingMessage,
    response: ServerResponse,
    handle: () => void | Promise<void>,
  ): Promise<void> {
    try {
      await handle();
    } catch (error) {
      if (!(error instanceof GatewayError)) {
        failRequest(this.logger, request, response, error);
        return;
      }
      const { status, type, code, message, param, headers } = error;
      if (request.method === 'POST' && !isForm(request))
        throw new GatewayError(status, type, code, message, param, { ...CORS, ...headers });
      sendPage(response, status, refusalPage(message), headers);
    }
  }
}

/** The preflight of CORS: https://fetch.spec.whatwg.org/#http-cors-protocol */
function allow(response: ServerResponse): void {
  response.writeHead(204, {
    ...CORS,
    'access-control-allow-methods': 'GET, POST',
    'access-control-allow-headers': 'content-type',
    'access-control-max-age': '600',
  });
  response.end();
}

function readPress(body: Buffer, request: IncomingMessage, link: FeedbackLink): Press {
  if (isForm(request)) {
    const form = new URLSearchParams(body.toString());
    return { value: typed(form.get('value'), link), comment: form.get('comment') };
  }
  const press = parseJson(body);
  const fields = typeof press === 'object' && press !== null ? Object.keys(press) : [];
  const unknown = fields.find((name) => name !== 'value' && name !== 'comment');
  if (unknown !== undefined || !fields.includes('value'))
    throw badFeedback([
      {
        path: '',
        message: 'must be a JSON object with "value", and perhaps "comment"; the link says the rest',
      },
    ]);
  return press as Press;
}

/** A form sends texts only. */
function typed(value: string | null, { kind }: FeedbackLink): unknown {
  if (kind === 'boolean') return value === 'true' ? true : value === 'false' ? false : value;
  if (kind === 'number') return value === null || value.trim() === '' ? null : Number(value);
  return value;
}

function isForm(request: IncomingMessage): boolean {
  return /^application\/x-www-form-urlencoded\b/i.test(request.headers['content-type'] ?? '');
}

function sendPage(
  response: ServerResponse,
  status: number,
  page: string,
  headers: Readonly<Record<string, string>> = {},
): void {
  response.writeHead(status, {
    ...CORS,
    ...PAGE_HEADERS,
    ...headers,
    'content-length': Buffer.byteLength(page),
  });
  response.end(page);
}

const FORGED = new GatewayError(
  403,
  'permission_error',
  'link_forged',
  'This is no feedback link of ours, or it was changed on the way; use it exactly as it was sent.',
);
const UNKNOWN_KEY = new GatewayError(
  403,
  'permission_error',
  'link_key_unknown',
  'The key this feedback link was signed with is not one of this gateway (any more); ask for a new link.',
);
