import { Inject, Injectable } from '@nestjs/common';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { isUtf8 } from 'node:buffer';
import { v7 } from 'uuid';
import type { FeedbackEvent } from '#libs/core/feedback/feedback-event.js';
import type { Problem } from '#libs/core/content/problems.js';
import { readFeedback } from '#libs/core/feedback/read-feedback.js';
import type { Settings } from '#libs/platform/config/settings.js';
import type { Caller } from '../callers/caller.js';
import { Callers } from '../callers/callers.js';
import { badRequest, GatewayError } from '../http/gateway-error.js';
import { readBody } from '../http/read-body.js';
import { requestIdOf, sendJson } from '../http/respond.js';
import { Routes } from '../http/routes.js';
import { SETTINGS_TOKEN } from '../settings.module.js';
import { FeedbackIntake } from './feedback-intake.js';

/** `POST /v1/feedback`: judgements by applications. */
@Injectable()
export class FeedbackRoutes {
  constructor(
    routes: Routes,
    private readonly callers: Callers,
    private readonly intake: FeedbackIntake,
    @Inject(SETTINGS_TOKEN) private readonly settings: Settings,
  ) {
    routes.add({
      method: 'POST',
      path: '/v1/feedback',
      handle: (request, response) => this.give(request, response),
    });
  }

  private async give(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.callers.identify(request);
    const body = parseJson(await bodyOf(request, this.settings.CATENA_MAX_BODY_BYTES));
    // Once more: a body may take minutes to come.
    const caller = this.callers.identify(request);
    const { events, problems } = readFeedback(body, { nowMs: Date.now(), eventId: v7 });
    if (!events) throw badFeedback(problems);
    const allowed = events.map((event) => scoped(event, caller));
    await this.intake.take(caller.workspaceId, allowed, 'api');
    sendJson(
      response,
      202,
      { accepted: allowed.length, events: allowed.map(({ eventId }) => ({ eventId, status: 'accepted' })) },
      { 'x-request-id': requestIdOf(request) },
    );
  }
}

/**
 * Any key of a workspace may judge what ran in it: whoever asks gets to say how it was. A key for some endpoints judges
 * only these: its event says for which it is, and is matched with nothing else.
 */
function scoped(event: FeedbackEvent, caller: Caller): FeedbackEvent {
  const { endpoints } = caller;
  if (endpoints === undefined) return event;
  const endpoint = event.endpoint ?? (endpoints.size === 1 ? [...endpoints][0]! : null);
  if (endpoint === null)
    throw badRequest(
      'endpoint_missing',
      'This API key is for some endpoints only: say in "endpoint" which of them the feedback is about.',
      'endpoint',
    );
  if (!caller.mayUse(endpoint))
    throw new GatewayError(
      403,
      'permission_error',
      'endpoint_not_allowed',
      `This API key is not for the endpoint "${endpoint}"; GET /v1/models lists those it is for.`,
      'endpoint',
    );
  return { ...event, endpoint };
}

/** 400 with every problem in its message, and where the first one is. */
export function badFeedback(problems: readonly Problem[]): GatewayError {
  const said = problems.map(({ path, message }) => `${path || '/'} ${message}`).join('; ');
  return badRequest(
    'invalid_feedback',
    `The feedback is not valid: ${said}.`,
    problems[0]!.path || undefined,
  );
}

/** @throws GatewayError, see `readBody`. */
export async function bodyOf(request: IncomingMessage, limitBytes: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    readBody(request, limitBytes, (body) => (body instanceof GatewayError ? reject(body) : resolve(body)));
  });
}

/** @throws GatewayError 400. */
export function parseJson(body: Buffer): unknown {
  if (!isUtf8(body)) throw badRequest('invalid_json', 'The request body is not valid UTF-8.');
  try {
    return JSON.parse(body.toString());
  } catch (error) {
    throw badRequest('invalid_json', `The request body is not valid JSON: ${(error as Error).message}.`);
  }
}
