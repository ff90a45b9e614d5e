import { errors } from 'undici';
import type { FailedAttempt } from '../dispatch/attempt-planner.js';
import { retryAfterOf } from '../dispatch/drain-rate.js';
import type { Lane } from '../dispatch/lane.js';
import type { StreamClock } from '../dispatch/stream-clocks.js';
import type { UpstreamCall } from '../dispatch/upstream-call.js';
import { failureOfError, UpstreamFailure } from '../dispatch/upstream-failure.js';
import { readError } from '../providers/openai/openai-error.js';
import type { ExchangeServices } from './exchange-services.js';

/*
 * How requests fail at the gateway itself: what no replica has said. `at` is the base URL of a replica, and
 * `modelEndpoint` a name.
 */

/** A failure, as the planner of the next attempt wants it. @param budget of the model endpoint it failed at. */
export function failed(
  { mayRetry, mayFallBack, details }: UpstreamFailure,
  remainingMs: number,
  budget: FailedAttempt['budget'],
): FailedAttempt {
  return { mayRetry, mayFallBack, retryAfterMs: details.retryAfterMs, remainingMs, budget };
}

export function unavailable(modelEndpoint: string): UpstreamFailure {
  return new UpstreamFailure(
    'model_endpoint_unavailable',
    `The model endpoint "${modelEndpoint}" is archived, or has no replica.`,
  );
}

/** More wait than may, or it would wait longer than anyone may. */
export function queueFull(modelEndpoint: string, lane: Lane): UpstreamFailure {
  return new UpstreamFailure(
    'queue_full',
    `All replicas of "${modelEndpoint}" are busy and the queue is full; try again later.`,
    { retryAfterMs: retryAfterOf(lane.drain, lane.queued) },
  );
}

export function queueTimedOut(modelEndpoint: string, lane: Lane): UpstreamFailure {
  return new UpstreamFailure(
    'queue_timeout',
    `No replica of "${modelEndpoint}" became free in time; try again later.`,
    { retryAfterMs: retryAfterOf(lane.drain, lane.queued) },
  );
}

/** A clock of a stream has run out. */
export function silent(
  clock: StreamClock,
  { clocks, headersTimeoutMs }: ExchangeServices,
  { replica: { baseUrl: at }, hasBegun }: UpstreamCall,
): UpstreamFailure {
  if (clock === 'idle')
    return new UpstreamFailure(
      'upstream_idle_timeout',
      `${at} sent no more content for ${clocks.idleMs} ms.`,
    );
  // The clock of the headers may be half a second late; where it has run out it is the one to be named.
  if (!hasBegun && headersTimeoutMs <= clocks.ttftMs)
    return failureOfError(new errors.HeadersTimeoutError(), at, false);
  return new UpstreamFailure('upstream_ttft_timeout', `${at} sent no content within ${clocks.ttftMs} ms.`);
}

export function tookTooLong(totalTimeoutMs: number): UpstreamFailure {
  return new UpstreamFailure(
    'request_timeout',
    `The request took longer than ${totalTimeoutMs} ms, all attempts together.`,
  );
}

/**
 * 200 with something else than an answer.
 * @param parsed the body's JSON, where it is any.
 * @param answer what was asked for.
 */
export function noAnswer(
  body: Buffer,
  parsed: unknown,
  at: string,
  answer = 'chat completion',
): UpstreamFailure {
  const { message } = readError(parsed);
  return message === undefined
    ? new UpstreamFailure('upstream_malformed', `${at} answered 200 with something that is no ${answer}.`, {
        body,
      })
    : new UpstreamFailure('upstream_error', `${at} answered 200 with an error: ${message}`, { body });
}
