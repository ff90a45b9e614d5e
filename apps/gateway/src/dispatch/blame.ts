import type { FailureCode, UpstreamFailure } from './upstream-failure.js';

/** Failures upstream that say nothing about the replica: of the request, of the credential, of a limit it keeps. */
const NOT_THE_REPLICA: ReadonlySet<FailureCode> = new Set<FailureCode>([
  'upstream_rate_limited',
  'upstream_too_large',
  'upstream_refused_gateway',
  'upstream_refused_request',
]);

/** Whether a failure counts against the replica that was asked. */
export function blames({ code }: UpstreamFailure): boolean {
  return code.startsWith('upstream_') && !NOT_THE_REPLICA.has(code);
}
