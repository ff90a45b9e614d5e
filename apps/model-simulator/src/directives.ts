import { SimulatorError } from './errors.js';
import { MISTAKES, type Mistake } from './mistakes.js';
import type { SimulatorOptions } from './options.js';

/** Come instead of an answer. */
export const FAULTS_BEFORE = [
  'http-429',
  'http-500',
  'http-503',
  'http-502-html',
  'http-200-html',
  'http-status',
  'reset',
  'stall',
] as const;
/** Come inside an answer that began well. */
export const FAULTS_INSIDE = [
  'stall-mid-stream',
  'cut-mid-stream',
  'cut-mid-stream-fin',
  'end-mid-stream',
  'error-frame',
  'malformed-frame',
  'dribble',
  'heartbeats',
  'huge',
] as const;
export type FaultBefore = (typeof FAULTS_BEFORE)[number];
export type FaultInside = (typeof FAULTS_INSIDE)[number];
const FAULTS: readonly string[] = [...FAULTS_BEFORE, ...FAULTS_INSIDE, ...MISTAKES];

export interface Fault {
  readonly kind: FaultBefore | FaultInside | Mistake;
  /** Tokens sent before a fault inside the answer. */
  readonly after: number;
  /** Only the first so many requests with the same directives fail; undefined = all. */
  readonly times: number | undefined;
  /** Share of requests that fail. */
  readonly probability: number;
  /** Seconds, for http-429 and http-503. */
  readonly retryAfter: number;
  /** Of http-status. */
  readonly status: number;
  /** How long `stall` lasts before the answer comes after all, in milliseconds; undefined = for ever. */
  readonly ms: number | undefined;
}

/** What a request asks the simulator to do differently, through the model name or the header. */
export interface Directives {
  readonly fault: Fault | undefined;
  readonly overrides: Partial<SimulatorOptions>;
}

const FAULT_NUMBERS = {
  after: 'after',
  times: 'times',
  probability: 'probability',
  'retry-after': 'retryAfter',
  status: 'status',
  ms: 'ms',
} as const;
const OVERRIDES = {
  'json-errors': 'jsonErrors',
  'ttft-ms': 'ttftMs',
  'tokens-per-second': 'tokensPerSecond',
  'answer-tokens': 'answerTokens',
} as const;

/**
 * Reads `fault=http-500;times=2;json-errors=0.5`. In the header the first part may be the fault alone:
 * `stall-mid-stream;after=5`.
 * @throws SimulatorError 400 that lists what is known.
 */
export function parseDirectives(...texts: readonly string[]): Directives {
  let kind: Fault['kind'] | undefined;
  const numbers: Record<string, number> = {};
  const overrides: Record<string, number> = {};
  for (const part of texts.flatMap((text) => text.split(';')).map((text) => text.trim())) {
    if (part === '') continue;
    const [name, value] = part.includes('=') ? (part.split('=', 2) as [string, string]) : ['fault', part];
    if (name === 'fault' && isFault(value)) kind = value;
    else if (name in FAULT_NUMBERS)
      numbers[FAULT_NUMBERS[name as keyof typeof FAULT_NUMBERS]] = number(part, value);
    else if (name in OVERRIDES) overrides[OVERRIDES[name as keyof typeof OVERRIDES]] = number(part, value);
    else throw unknown(part);
  }
  const fault = kind && {
    kind,
    after: 3,
    times: undefined,
    probability: 1,
    retryAfter: 1,
    status: 500,
    ms: undefined,
    ...numbers,
  };
  return { fault, overrides };
}

function isFault(text: string): text is Fault['kind'] {
  return FAULTS.includes(text);
}

export function comesBefore(fault: Fault): fault is Fault & { kind: FaultBefore } {
  return (FAULTS_BEFORE as readonly string[]).includes(fault.kind);
}

export function comesInside(fault: Fault): fault is Fault & { kind: FaultInside } {
  return (FAULTS_INSIDE as readonly string[]).includes(fault.kind);
}

export function isMistake(fault: Fault): fault is Fault & { kind: Mistake } {
  return (MISTAKES as readonly string[]).includes(fault.kind);
}

function number(part: string, text: string): number {
  const value = Number(text);
  if (text === '' || !Number.isFinite(value) || value < 0) throw unknown(part);
  return value;
}

function unknown(part: string): SimulatorError {
  const names = [...Object.keys(FAULT_NUMBERS), ...Object.keys(OVERRIDES)];
  return new SimulatorError(
    400,
    'BadRequestError',
    `Simulator: cannot read "${part}". Faults: ${FAULTS.join(', ')}. Numbers: ${names.join(', ')}.`,
  );
}
