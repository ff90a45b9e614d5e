/** What a fault comes to, as docs/failure-semantics.md promises it: written down here, not derived from the gateway. */
export interface Outcome {
  /** Status of the answer; 200 where it had begun, or where it is no failure at all. */
  readonly status: number;
  /** Code of the error, in the answer or, after its beginning, in an event of the stream. */
  readonly code?: string;
  /** Whether the same model endpoint is tried again, and another one instead of it. */
  readonly retried: boolean;
  readonly fallsBack: boolean;
  /** Attempts that go out where it is not one. */
  readonly attempts?: 0;
}

/** Where a request goes wrong. */
export interface Fault {
  readonly name: string;
  /** The simulator's directive; or a place where there is no simulator. */
  readonly at: { readonly directive: string } | 'nobody listens' | 'no answer to SYN' | 'no replica';
  /** Undefined where the fault is the same as in another row. */
  readonly whole: Outcome | undefined;
  readonly streamed: Outcome | undefined;
  /** It takes the simulator so much work that it may run into a clock when others run beside it. */
  readonly isSlow?: true;
}

const passing = (status: number, code: string): Outcome => ({ status, code, retried: true, fallsBack: true });
const lasting = (status: number, code: string): Outcome => ({
  status,
  code,
  retried: false,
  fallsBack: true,
});
const final = (status: number, code: string): Outcome => ({ status, code, retried: false, fallsBack: false });
/** After the first content. */
const committed = (code: string): Outcome => final(200, code);
const FINE: Outcome = { status: 200, retried: false, fallsBack: false };

const both = (name: string, at: Fault['at'], outcome: Outcome): Fault => ({
  name,
  at,
  whole: outcome,
  streamed: outcome,
});
const simulated = (name: string, directive: string, outcome: Outcome) => both(name, { directive }, outcome);
/** A fault inside the answer: of a stream before its first content, and after four. */
const inside = (
  name: string,
  directive: string,
  whole: Outcome,
  beforeContent: Outcome,
  code: string,
): Fault[] => [
  { name, at: { directive: `${directive};after=0` }, whole, streamed: beforeContent },
  {
    name: `${name}, after four tokens`,
    at: { directive: `${directive};after=4` },
    whole: undefined,
    streamed: committed(code),
  },
];

export const FAULTS: readonly Fault[] = [
  both('nobody listens', 'nobody listens', passing(502, 'upstream_unreachable')),
  both('no connection in time', 'no answer to SYN', passing(504, 'upstream_connect_timeout')),
  both('no replica', 'no replica', { ...lasting(503, 'model_endpoint_unavailable'), attempts: 0 }),
  simulated('connection reset', 'reset', passing(502, 'upstream_reset')),
  simulated('no headers', 'stall', passing(504, 'upstream_headers_timeout')),
  simulated('429', 'http-429;retry-after=0', passing(429, 'upstream_rate_limited')),
  simulated('429, Retry-After too far', 'http-429;retry-after=60', lasting(429, 'upstream_rate_limited')),
  simulated('500', 'http-500', passing(502, 'upstream_error')),
  simulated('501', 'http-status;status=501', lasting(502, 'upstream_error')),
  simulated('502 with HTML', 'http-502-html', passing(502, 'upstream_error')),
  simulated('503', 'http-503;retry-after=0', passing(502, 'upstream_error')),
  simulated('529', 'http-status;status=529', passing(502, 'upstream_error')),
  simulated('302', 'http-status;status=302', lasting(502, 'upstream_error')),
  simulated('400', 'http-status;status=400', final(400, 'upstream_refused_request')),
  simulated('401', 'http-status;status=401', lasting(502, 'upstream_refused_gateway')),
  simulated('408', 'http-status;status=408', passing(504, 'upstream_timeout')),
  simulated('200 with HTML', 'http-200-html', lasting(502, 'upstream_malformed')),
  ...inside(
    'silence',
    'stall-mid-stream',
    passing(504, 'upstream_idle_timeout'),
    passing(504, 'upstream_ttft_timeout'),
    'upstream_idle_timeout',
  ),
  ...inside(
    'heartbeats only',
    'heartbeats',
    final(504, 'request_timeout'),
    passing(504, 'upstream_ttft_timeout'),
    'upstream_idle_timeout',
  ),
  ...inside(
    'reset',
    'cut-mid-stream',
    passing(502, 'upstream_reset'),
    passing(502, 'upstream_reset'),
    'upstream_reset',
  ),
  ...inside(
    'closed too early',
    'cut-mid-stream-fin',
    passing(502, 'upstream_reset'),
    passing(502, 'upstream_reset'),
    'upstream_reset',
  ),
  ...inside(
    'half an answer',
    'end-mid-stream',
    lasting(502, 'upstream_malformed'),
    passing(502, 'upstream_stream_interrupted'),
    'upstream_stream_interrupted',
  ),
  ...inside(
    'broken JSON',
    'malformed-frame',
    lasting(502, 'upstream_malformed'),
    lasting(502, 'upstream_malformed'),
    'upstream_malformed',
  ),
  ...inside(
    'error with 200',
    'error-frame',
    passing(502, 'upstream_error'),
    passing(502, 'upstream_error'),
    'upstream_error',
  ),
  { ...simulated('byte by byte', 'dribble', FINE), isSlow: true },
];

/** What the chain says about failures. */
export type Policy = 'none' | 'retry' | 'retry, fault once' | 'fallback';
export const POLICIES: readonly Policy[] = ['none', 'retry', 'retry, fault once', 'fallback'];

export const MAX_ATTEMPTS = 3;

/** In words; undefined where the fault cannot be had once only. */
export function expected(fault: Fault, isStreamed: boolean, policy: Policy): string | undefined {
  const outcome = isStreamed ? fault.streamed : fault.whole;
  if (!outcome || (policy === 'retry, fault once' && typeof fault.at === 'string')) return undefined;
  const { attempts = 1, retried, fallsBack } = outcome;
  switch (policy) {
    case 'none':
      return inWords(outcome, attempts);
    case 'retry':
      return inWords(outcome, retried ? MAX_ATTEMPTS : attempts);
    case 'retry, fault once':
      return retried ? inWords(FINE, 2) : inWords(outcome, attempts);
    case 'fallback':
      return fallsBack ? inWords(FINE, attempts + 1) : inWords(outcome, attempts);
  }
}

/** For instance `502 upstream_reset ×3`, `200 ×2`, `200, then upstream_reset ×1`. */
export function inWords({ status, code }: Pick<Outcome, 'status' | 'code'>, attempts: number): string {
  const what = code === undefined ? `${status}` : status === 200 ? `200, then ${code}` : `${status} ${code}`;
  return `${what} ×${attempts}`;
}
