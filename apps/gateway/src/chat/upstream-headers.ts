import type { Lane } from '../dispatch/lane.js';
import type { Inference } from './inference.js';

/** What goes upstream beside the body of the attempt that runs: names and values, one after the other. */
export function upstreamHeaders(inference: Inference, lane: Lane): string[] {
  const headers = [
    'content-type',
    'application/json',
    'accept-encoding',
    'identity',
    // vLLM names its log lines after it; a second attempt must not share a name with the first, still running.
    'x-request-id',
    inference.attempt === 1 ? inference.id : `${inference.id}-${inference.attempt}`,
  ];
  if (inference.request.streamed) headers.push('accept', 'text/event-stream');
  for (const text of lane.headers) headers.push(text);
  return headers;
}
