import { parseArgs } from 'node:util';

/** How one simulated replica behaves. Times in milliseconds, rates per second. */
export interface SimulatorOptions {
  readonly host: string;
  readonly port: number;
  readonly models: readonly string[];
  readonly ttftMs: number;
  readonly prefillTokensPerSecond: number;
  readonly tokensPerSecond: number;
  readonly maxNumSeqs: number;
  readonly maxModelLen: number;
  readonly kvCacheTokens: number;
  readonly prefixCacheTokens: number;
  readonly answerTokens: number;
  readonly embeddingDimensions: number;
  readonly jitter: number;
  readonly jsonErrors: number;
  readonly seed: number;
  readonly apiKey: string;
  readonly instant: boolean;
  readonly serialPrefill: boolean;
}

interface NumberOption {
  readonly flag: string;
  readonly min: number;
  readonly max: number;
  readonly integer?: true;
  readonly default: number;
  readonly description: string;
}

type NumberName = {
  [K in keyof SimulatorOptions]: SimulatorOptions[K] extends number ? K : never;
}[keyof SimulatorOptions];

/** Options that are numbers: one table for the command line, for callers in process and for `--help`. */
export const NUMBER_OPTIONS: Readonly<Record<NumberName, NumberOption>> = {
  port: {
    flag: 'port',
    min: 0,
    max: 65_535,
    integer: true,
    default: 5082,
    description: 'Port; 0 takes a free one.',
  },
  ttftMs: {
    flag: 'ttft-ms',
    min: 0,
    max: 600_000,
    default: 40,
    description: 'Time to the first token of an empty prompt.',
  },
  prefillTokensPerSecond: {
    flag: 'prefill-tokens-per-second',
    min: 0,
    max: 1e9,
    default: 20_000,
    description: 'Prompt tokens read per second, added to the time to first token; 0 = no limit.',
  },
  tokensPerSecond: {
    flag: 'tokens-per-second',
    min: 0,
    max: 1e9,
    default: 80,
    description: 'Tokens per second of one sequence; 0 = all at once.',
  },
  maxNumSeqs: {
    flag: 'max-num-seqs',
    min: 1,
    max: 1_000_000,
    integer: true,
    default: 64,
    description: 'Sequences generated at the same time; further requests wait in arrival order.',
  },
  maxModelLen: {
    flag: 'max-model-len',
    min: 16,
    max: 100_000_000,
    integer: true,
    default: 131_072,
    description: 'Context length in tokens, prompt and answer together.',
  },
  kvCacheTokens: {
    flag: 'kv-cache-tokens',
    min: 1,
    max: 1e9,
    integer: true,
    default: 262_144,
    description: 'Size of the KV cache in tokens; only vllm:kv_cache_usage_perc depends on it.',
  },
  prefixCacheTokens: {
    flag: 'prefix-cache-tokens',
    min: 0,
    max: 1e9,
    integer: true,
    default: 0,
    description:
      'Tokens of earlier prompts and answers that need not be read again where they begin a prompt; 0 = none.',
  },
  answerTokens: {
    flag: 'answer-tokens',
    min: 1,
    max: 1_000_000,
    integer: true,
    default: 60,
    description: 'Usual length of a text answer; JSON is as long as its schema makes it.',
  },
  embeddingDimensions: {
    flag: 'embedding-dimensions',
    min: 1,
    max: 65_536,
    integer: true,
    default: 384,
    description: 'Dimensions of embeddings; fewer may be asked for.',
  },
  jitter: {
    flag: 'jitter',
    min: 0,
    max: 1,
    default: 0.2,
    description: 'Spread of the two latencies, as a share of them; the same request always gets the same.',
  },
  jsonErrors: {
    flag: 'json-errors',
    min: 0,
    max: 1,
    default: 0.1,
    description:
      'Share of JSON answers that are wrong where the prompt asks for JSON and no schema is enforced.',
  },
  seed: {
    flag: 'seed',
    min: 0,
    max: 4_294_967_295,
    integer: true,
    default: 0,
    description: 'Seed of all answers.',
  },
};

export const DEFAULT_OPTIONS: SimulatorOptions = Object.freeze({
  ...(Object.fromEntries(
    Object.entries(NUMBER_OPTIONS).map(([name, option]) => [name, option.default]),
  ) as Record<NumberName, number>),
  host: '127.0.0.1',
  models: ['sim-small', 'sim-large'],
  apiKey: '',
  instant: false,
  serialPrefill: false,
});

/** Thrown at start: one line per bad option, all at once. */
export class OptionsError extends Error {
  override readonly name = 'OptionsError';
}

/**
 * Fills in the defaults and checks the ranges.
 * @throws OptionsError naming every bad option.
 */
export function completeOptions(given: Partial<SimulatorOptions>): SimulatorOptions {
  const options = { ...DEFAULT_OPTIONS, ...given };
  const problems = (Object.keys(NUMBER_OPTIONS) as NumberName[]).flatMap((name) =>
    rangeProblem(name, options[name]),
  );
  if (options.models.length === 0) problems.push('--model: give at least one model name');
  if (problems.length > 0)
    throw new OptionsError(`Bad options:\n${problems.map((text) => `  ${text}`).join('\n')}`);
  return Object.freeze(options);
}

function rangeProblem(name: NumberName, value: number): string[] {
  const { flag, min, max, integer } = NUMBER_OPTIONS[name];
  if (Number.isFinite(value) && value >= min && value <= max && (!integer || Number.isInteger(value)))
    return [];
  return [`--${flag}: must be ${integer ? 'a whole number' : 'a number'} from ${min} to ${max}`];
}

/**
 * Reads a command line.
 * @param defaults what the environment gives: host and port.
 * @throws OptionsError on unknown flags and on values out of range.
 */
export function parseOptions(
  argv: readonly string[],
  defaults: Partial<SimulatorOptions> = {},
): SimulatorOptions {
  const values = parseFlags(argv);
  const given: Record<string, unknown> = { ...defaults };
  for (const [name, { flag }] of Object.entries(NUMBER_OPTIONS)) {
    const text = values[flag];
    if (typeof text === 'string') given[name] = text.trim() === '' ? Number.NaN : Number(text);
  }
  if (typeof values['host'] === 'string') given['host'] = values['host'];
  if (typeof values['api-key'] === 'string') given['apiKey'] = values['api-key'];
  if (Array.isArray(values['model'])) given['models'] = values['model'];
  if (values['instant'] === true) given['instant'] = true;
  if (values['serial-prefill'] === true) given['serialPrefill'] = true;
  return completeOptions(given);
}

function parseFlags(argv: readonly string[]): Record<string, unknown> {
  const numbers = Object.values(NUMBER_OPTIONS).map(
    ({ flag }) => [flag, { type: 'string' as const }] as const,
  );
  try {
    return parseArgs({
      args: [...argv],
      strict: true,
      options: {
        host: { type: 'string' },
        model: { type: 'string', multiple: true },
        'api-key': { type: 'string' },
        instant: { type: 'boolean' },
        'serial-prefill': { type: 'boolean' },
        ...Object.fromEntries(numbers),
      },
    }).values;
  } catch (error) {
    throw new OptionsError(`${error instanceof Error ? error.message : String(error)}\n\n${usage()}`, {
      cause: error,
    });
  }
}

/** The text of `--help`. */
export function usage(): string {
  const line = (flag: string, value: unknown, text: string) =>
    `  --${flag.padEnd(28)}${text} Default ${String(value)}.`;
  return [
    'Usage: model-simulator [options]. One vLLM replica, without a GPU.',
    line('host', 'CATENA_HOST', 'Address to bind to.'),
    line('model', DEFAULT_OPTIONS.models.join(', '), 'A model it serves; may be repeated.'),
    line('api-key', 'none', 'Bearer token asked for under /v1, as by vLLM.'),
    line('serial-prefill', 'off', 'Prompts are read one after the other instead of all at once.'),
    line('instant', 'off', 'One fixed answer of --answer-tokens tokens at once, for benchmarks.'),
    ...Object.values(NUMBER_OPTIONS).map((option) => line(option.flag, option.default, option.description)),
  ].join('\n');
}
