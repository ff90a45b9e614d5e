import { GatewayError, type GatewayErrorType } from '../http/gateway-error.js';
import type { ReportedError } from '../providers/openai/openai-error.js';

/** Every way an attempt can fail, and what follows from it. */
const FAILURES = {
  upstream_unreachable: { status: 502, retry: true, fallback: true },
  upstream_reset: { status: 502, retry: true, fallback: true },
  upstream_error: { status: 502, retry: true, fallback: true },
  /** Five clocks, a code each; the fifth is `request_timeout`. */
  upstream_connect_timeout: { status: 504, retry: true, fallback: true },
  upstream_headers_timeout: { status: 504, retry: true, fallback: true },
  upstream_ttft_timeout: { status: 504, retry: true, fallback: true },
  upstream_idle_timeout: { status: 504, retry: true, fallback: true },
  /** The model endpoint itself says that it took too long: 408. */
  upstream_timeout: { status: 504, retry: true, fallback: true },
  upstream_rate_limited: { status: 429, retry: true, fallback: true },
  /** 200 with something that is no answer. Not retried: a server that speaks something else goes on doing so. */
  upstream_malformed: { status: 502, retry: false, fallback: true },
  upstream_too_large: { status: 502, retry: false, fallback: false },
  /** The model endpoint refuses the gateway, not the caller: its credential, its URL, its model name. */
  upstream_refused_gateway: { status: 502, retry: false, fallback: true },
  /** The model endpoint refuses what the caller sent; it would do so again. */
  upstream_refused_request: { status: 400, retry: false, fallback: false },
  /** It answers, but nothing that the chain lets through. It was asked again before, as often as the contract allows. */
  output_contract_violated: { status: 502, retry: false, fallback: true },
  output_truncated: { status: 502, retry: false, fallback: true },
  /** It may not see what the request carries; another one may. */
  model_endpoint_not_cleared: { status: 403, retry: false, fallback: true },
  model_endpoint_unavailable: { status: 503, retry: false, fallback: true },
  queue_full: { status: 429, retry: false, fallback: true },
  queue_timeout: { status: 429, retry: false, fallback: true },
  request_timeout: { status: 504, retry: false, fallback: false },
  upstream_stream_interrupted: { status: 502, retry: true, fallback: true },
} as const satisfies Record<string, { status: number; retry: boolean; fallback: boolean }>;

export type FailureCode = keyof typeof FAILURES;

export interface FailureDetails {
  /** Status the caller gets, where it is not the code's own. */
  readonly status?: number;
  /** Whether another attempt may help, where the code alone does not tell. */
  readonly retry?: boolean;
  readonly retryAfterMs?: number;
  readonly reported?: ReportedError;
  /** What the caller is told instead of the message, which has more. @param at the model endpoint, quoted. */
  readonly told?: (at: string) => string;
  /** Body of the failed answer, as received. */
  readonly body?: Buffer;
}

/** Why an attempt failed. */
export class UpstreamFailure {
  constructor(
    readonly code: FailureCode,
    readonly message: string,
    readonly details: FailureDetails = {},
  ) {}

  get mayRetry(): boolean {
    return this.details.retry ?? FAILURES[this.code].retry;
  }

  get mayFallBack(): boolean {
    return FAILURES[this.code].fallback;
  }

  /**
   * As the caller sees it: with the model endpoint's name in place of the replica's address, which is the operator's.
   * @param replica base URL of the last replica, where there was one.
   */
  toError(modelEndpoint: string, replica: string | undefined): GatewayError {
    const name = `"${modelEndpoint}"`;
    const told = this.details.told?.(name) ?? this.message;
    const message = replica === undefined ? told : told.replaceAll(replica, name);
    const status = this.details.status ?? FAILURES[this.code].status;
    const { reported, retryAfterMs } = this.details;
    const headers =
      retryAfterMs !== undefined
        ? { 'retry-after': String(Math.ceil(retryAfterMs / 1000)) }
        : status === 429 || status === 503
          ? { 'retry-after': '1' }
          : undefined;
    if (this.code === 'upstream_refused_request')
      return new GatewayError(
        status,
        'invalid_request_error',
        reported?.code ?? this.code,
        message,
        reported?.param,
        headers,
      );
    return new GatewayError(status, typeOf(status), this.code, message, undefined, headers);
  }
}

function typeOf(status: number): GatewayErrorType {
  if (status === 403) return 'permission_error';
  if (status === 429) return 'rate_limit_error';
  if (status === 503) return 'service_unavailable_error';
  return 'upstream_error';
}

/** What a server wants of those who try again, from the headers of its answer. */
export interface RetryAdvice {
  /** How long to wait. */
  readonly afterMs: number | undefined;
  /** It would answer the same again. */
  readonly isPointless: boolean;
}

/** What the answer's status means. @param at which replica, for the message. */
export function failureOfStatus(
  status: number,
  at: string,
  reported: ReportedError,
  advice: RetryAdvice,
  body: Buffer,
): UpstreamFailure {
  const said = reported.message ? `: ${reported.message}` : ' without a message.';
  const details = {
    reported,
    body,
    ...(advice.afterMs === undefined ? {} : { retryAfterMs: advice.afterMs }),
    ...(advice.isPointless ? { retry: false } : {}),
  };
  if (status === 429)
    return new UpstreamFailure('upstream_rate_limited', `${at} answered 429${said}`, details);
  if (status === 408) return new UpstreamFailure('upstream_timeout', `${at} answered 408${said}`, details);
  if (status >= 500 || status < 400)
    return new UpstreamFailure('upstream_error', `${at} answered ${status}${said}`, {
      ...details,
      retry: !advice.isPointless && passes(status),
    });
  if (GATEWAY_AT_FAULT.has(status)) {
    const refused = (by: string, why: string) =>
      `${by} refused the gateway with ${status}${why} Check the model endpoint's URL, credential and model name.`;
    // Vendors repeat part of the refused key.
    const told = ABOUT_CREDENTIAL.has(status) ? (name: string) => refused(name, '.') : undefined;
    return new UpstreamFailure('upstream_refused_gateway', refused(at, said), {
      ...details,
      ...(told && { told }),
    });
  }
  return new UpstreamFailure('upstream_refused_request', reported.message ?? `${at} answered ${status}.`, {
    ...details,
    status,
  });
}

/**
 * Whether a status of 500 or more tells of something that passes: not what a server cannot do at all (501, 505 to
 * 511), nor a redirect. From 520 on it is what proxies say of the server behind them, and 529 is "overloaded".
 */
function passes(status: number): boolean {
  return (status >= 500 && status <= 504 && status !== 501) || status >= 520;
}

/** Unauthorised, forbidden, no such route or model, wrong method, proxy authentication. */
const GATEWAY_AT_FAULT = new Set([401, 403, 404, 405, 407]);

/** Unauthorised, forbidden, proxy authentication. */
const ABOUT_CREDENTIAL = new Set([401, 403, 407]);

/** What a failure below HTTP means. @param began whether the answer's headers had arrived. */
export function failureOfError(
  error: Error & { code?: string },
  at: string,
  began: boolean,
): UpstreamFailure {
  const code = error.code ?? '';
  switch (code) {
    case 'UND_ERR_CONNECT_TIMEOUT':
    case 'ETIMEDOUT':
      return new UpstreamFailure('upstream_connect_timeout', `No connection to ${at} in time.`);
    case 'UND_ERR_HEADERS_TIMEOUT':
      return new UpstreamFailure('upstream_headers_timeout', `${at} did not begin to answer in time.`);
    case 'UND_ERR_BODY_TIMEOUT':
      return new UpstreamFailure('upstream_idle_timeout', `${at} fell silent in the middle of its answer.`);
    case 'ECONNREFUSED':
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
    case 'EPIPE':
      return new UpstreamFailure('upstream_unreachable', `${at} cannot be reached (${code}).`);
    default:
      if (code.startsWith('HPE_'))
        return new UpstreamFailure('upstream_malformed', `${at} does not answer valid HTTP (${code}).`);
      return new UpstreamFailure(
        'upstream_reset',
        `${at} closed the connection ${began ? 'in the middle of its answer' : 'without an answer'}.`,
      );
  }
}

/**
 * What a server advises. `Retry-After` is in seconds, or a date (RFC 9110 §10.2.3); `retry-after-ms` and
 * `x-should-retry` are OpenAI's, and others have taken them over.
 */
export function retryAdvice(
  headers: Readonly<Record<string, string | string[] | undefined>>,
  nowMs: number,
): RetryAdvice {
  const exact = first(headers['retry-after-ms']);
  return {
    afterMs:
      (exact === undefined ? undefined : milliseconds(Number(exact))) ??
      retryAfterMs(first(headers['retry-after']), nowMs),
    isPointless: first(headers['x-should-retry']) === 'false',
  };
}

function retryAfterMs(text: string | undefined, nowMs: number): number | undefined {
  if (text === undefined) return undefined;
  return milliseconds(/^\d+(\.\d+)?$/.test(text) ? Number(text) * 1000 : Date.parse(text) - nowMs);
}

/** A day at most: a server that asks for more has a clock that is wrong. */
function milliseconds(given: number): number | undefined {
  return Number.isFinite(given) ? Math.min(Math.max(0, given), 86_400_000) : undefined;
}

function first(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value;
}
