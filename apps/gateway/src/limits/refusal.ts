import { GatewayError } from '../http/gateway-error.js';
import type { LimitMetric, LimitRecord, LimitTarget } from './limit-record.js';
import { Budget } from './budget.js';
import type { Meter } from './meter.js';

const TARGETS: Readonly<Record<LimitTarget, string>> = {
  apiKey: 'API key',
  endpoint: 'endpoint',
  team: 'team',
  modelEndpoint: 'model endpoint',
};
const UNITS: Readonly<Record<LimitMetric, string>> = {
  requests: 'requests',
  tokens: 'tokens',
  costMicroUsd: 'micro-USD',
};

/** For https://github.com/openai/openai-python and its sisters, which would try again. */
const FINAL = { 'x-should-retry': 'false' } as const;

/**
 * 429 for what a limit does not let in.
 * @param amount what it asked for at most.
 * @param waitMs until it would be let in; Infinity is never.
 */
export function refusedByLimit(meter: Meter, amount: number, waitMs: number, nowMs: number): GatewayError {
  const { limit } = meter;
  const what = `${limit.amount} ${UNITS[limit.metric]} per ${limit.window} of the ${TARGETS[limit.targetKind]} "${limit.target}"`;
  const asked = limit.metric === 'requests' ? '' : ` This request may use up to ${amount}.`;
  const left = meter.left(nowMs);
  if (meter instanceof Budget)
    return new GatewayError(
      429,
      'insufficient_quota',
      'insufficient_quota',
      `The budget "${limit.name}" (${what}) has ${left} left until ${new Date(nowMs + waitMs).toISOString()}.${asked}`,
      undefined,
      { ...FINAL, 'retry-after': seconds(waitMs) },
    );
  if (waitMs === Infinity)
    return new GatewayError(
      429,
      'rate_limit_error',
      'rate_limit_exceeded',
      `The limit "${limit.name}" (${what}) never lets this request in.${asked} Ask for less: a shorter prompt, or a lower max_completion_tokens.`,
      undefined,
      { ...FINAL, ...rateHeaders(meter, nowMs) },
    );
  return new GatewayError(
    429,
    'rate_limit_error',
    'rate_limit_exceeded',
    `The limit "${limit.name}" (${what}) has ${left} left.${asked} Try again in ${(waitMs / 1000).toFixed(1)} s.`,
    undefined,
    {
      'retry-after': seconds(waitMs),
      'retry-after-ms': String(Math.ceil(waitMs)),
      ...rateHeaders(meter, nowMs),
    },
  );
}

/** 503 where limits are shared through Redis, it is away, and `CATENA_REDIS_FAILURE` says that nothing passes without. */
export function limitsUnavailable(): GatewayError {
  return new GatewayError(
    503,
    'service_unavailable_error',
    'limits_unavailable',
    'A limit holds for this request, and the gateway cannot tell at the moment what is left of it. Try again later.',
    undefined,
    { 'retry-after': '1' },
  );
}

/** As OpenAI names them: https://platform.openai.com/docs/guides/rate-limits#rate-limits-in-headers. It has none for cost. */
function rateHeaders(meter: Meter, nowMs: number): Record<string, string> {
  const { metric, amount }: LimitRecord = meter.limit;
  if (metric === 'costMicroUsd') return {};
  return {
    [`x-ratelimit-limit-${metric}`]: String(amount),
    [`x-ratelimit-remaining-${metric}`]: String(meter.left(nowMs)),
    [`x-ratelimit-reset-${metric}`]: duration(meter.resetMs(nowMs)),
  };
}

function seconds(ms: number): string {
  return String(Math.max(1, Math.ceil(ms / 1000)));
}

/** As Go writes durations, and OpenAI with it: `6m0s`, `1.2s`, `20ms`. */
function duration(ms: number): string {
  const whole = Math.ceil(ms);
  if (whole < 1_000) return `${whole}ms`;
  const hours = Math.floor(whole / 3_600_000);
  const minutes = Math.floor((whole % 3_600_000) / 60_000);
  const rest = (whole % 60_000) / 1000;
  return `${hours > 0 ? `${hours}h` : ''}${hours > 0 || minutes > 0 ? `${minutes}m` : ''}${rest}s`;
}
