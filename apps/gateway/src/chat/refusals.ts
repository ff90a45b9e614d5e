import type { Task } from '#libs/core/content/types.js';
import { badRequest, GatewayError } from '../http/gateway-error.js';

/** The gateway itself failed. Its log says why. */
export function internalError(inferenceId: string): GatewayError {
  return new GatewayError(
    500,
    'server_error',
    'internal_error',
    `The gateway failed on this request. Its log says why, under inference id ${inferenceId}.`,
  );
}

/** An endpoint whose chains do something else. @param asked what the request asks for. */
export function wrongTask(endpoint: string, asked: Task): GatewayError {
  const why =
    asked === 'embed'
      ? 'generates and gives no embeddings; name one whose chain embeds, or ask it at /v1/chat/completions'
      : 'embeds and generates nothing; ask it at /v1/embeddings, or name one whose chain generates';
  return badRequest('wrong_task', `The endpoint "${endpoint}" ${why}.`, 'model');
}

/** The spool takes no records and the policy is to refuse: 503 before anything is sent upstream. */
export function refusedBySpool(cause: unknown): GatewayError {
  return new GatewayError(
    503,
    'service_unavailable_error',
    'spool_full',
    `The gateway cannot record requests at the moment, so it answers none: ${cause instanceof Error ? cause.message : String(cause)} Try again later.`,
    undefined,
    { 'retry-after': '5' },
  );
}
