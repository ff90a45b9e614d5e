import { isCorrected, mistaken, type Mistake } from './mistakes.js';
import type { SimulatorOptions } from './options.js';
import { pick, randomFrom, type Random } from './random.js';
import type { GenerationRequest } from './request.js';
import { instanceOf, type JsonValue } from './schema-instance.js';
import { countTokens, overlap, sentences, tokenize } from './text.js';

export interface Answer {
  readonly promptTokens: number;
  /** Joined, they are the text. */
  readonly tokens: readonly string[];
  readonly finishReason: 'stop' | 'length';
  /** The stop string that was met, as vLLM reports it. */
  readonly stopReason: string | null;
  /** Milliseconds to the first token and between tokens. */
  readonly ttftMs: number;
  /** The part of `ttftMs` in which the prompt is read, with nothing of it cached. */
  readonly prefillMs: number;
  readonly intervalMs: number;
  /** The model says that it will not answer. */
  readonly isRefusal?: true;
  /** Vectors as they are sent, where these are asked for. */
  readonly embeddings?: readonly (string | readonly number[])[];
}

/**
 * What the replica will say and how fast: a pure function of seed, model, messages and the constraint.
 * @param baseModel the model without its directives, so that a fault does not change the text.
 * @param mistake made with the text.
 */
export function planAnswer(
  request: GenerationRequest,
  baseModel: string,
  options: SimulatorOptions,
  mistake?: Mistake,
): Answer {
  const random = randomFrom(
    String(options.seed),
    String(request.seed ?? ''),
    baseModel,
    JSON.stringify(request.messages),
  );
  const spread = () => 1 + options.jitter * (random() * 2 - 1);
  // Four tokens a message stand for the chat template, as with most real ones.
  const promptTokens = request.messages.reduce((sum, { text }) => sum + countTokens(text) + 4, 3);
  const prefill =
    options.prefillTokensPerSecond > 0 ? (promptTokens / options.prefillTokensPerSecond) * 1000 : 0;
  const ttftMs = options.ttftMs * spread() + prefill;
  const intervalMs = options.tokensPerSecond > 0 ? (1000 / options.tokensPerSecond) * spread() : 0;
  const text = answerText(request, random, options);
  return {
    promptTokens,
    ttftMs,
    prefillMs: prefill,
    intervalMs,
    ...limit(request, mistake ? mistaken(mistake, text, request.messages) : text, options),
    ...(mistake === 'refusal' && { isRefusal: true as const }),
  };
}

function limit(
  request: GenerationRequest,
  given: string,
  options: SimulatorOptions,
): Pick<Answer, 'tokens' | 'finishReason' | 'stopReason'> {
  const at = request.stop
    .map((text) => ({ text, index: given.indexOf(text) }))
    .filter(({ index }) => index >= 0)
    .sort((a, b) => a.index - b.index)[0];
  const tokens = tokenize(at ? given.slice(0, at.index) : given);
  const wanted = request.ignoreEos ? (request.maxTokens ?? options.answerTokens) : request.minTokens;
  while (tokens.length < wanted) tokens.push(tokens.length % 12 === 11 ? '.' : ' more');
  const max = request.maxTokens ?? Infinity;
  if (tokens.length > max || (request.ignoreEos && !at))
    return { tokens: tokens.slice(0, max), finishReason: 'length', stopReason: null };
  return { tokens, finishReason: 'stop', stopReason: at?.text ?? null };
}

function answerText(request: GenerationRequest, random: Random, options: SimulatorOptions): string {
  // A correction is about the answer, which is still about what was asked before.
  const said = isCorrected(request.messages) ? request.messages.slice(0, -2) : request.messages;
  const last = said.findLast((message) => message.role === 'user') ?? request.messages.at(-1)!;
  const { constraint } = request;
  switch (constraint.kind) {
    case 'none':
      break;
    case 'schema':
      return JSON.stringify(instanceOf(constraint.schema, random, last.text));
    case 'choice': {
      const scores = constraint.choices.map((choice) => overlap(choice, last.text));
      return pick(
        random,
        constraint.choices.filter((_, index) => scores[index] === Math.max(...scores)),
      );
    }
    case 'json':
      return looseJson(request, last.text, random, options, false);
  }
  return request.messages.some(({ text }) => /\bjson\b/iu.test(text))
    ? looseJson(request, last.text, random, options, true)
    : sentences(random, last.text, options.answerTokens * (0.5 + random()));
}

/**
 * JSON that was only asked for in words. Follows the JSON Schema found in the prompt, if there is one, and is
 * wrong at the configured rate in the ways real models are wrong.
 * @param free whether text around the JSON and broken syntax are possible too.
 */
function looseJson(
  request: GenerationRequest,
  source: string,
  random: Random,
  options: SimulatorOptions,
  free: boolean,
): string {
  const fallback = {
    type: 'object',
    properties: { answer: { type: 'string' }, confidence: { type: 'number' } },
  };
  const schema =
    request.messages.map(({ text }) => findSchema(text)).find((found) => found !== undefined) ?? fallback;
  const isWrong = random() < options.jsonErrors;
  const value = instanceOf(schema, random, source);
  if (!isWrong) return JSON.stringify(value);
  const text = JSON.stringify(value);
  const mistakes = [() => JSON.stringify(withoutLast(value)), () => JSON.stringify(withUnknownWord(value))];
  if (free)
    mistakes.push(
      () => `Here is the JSON you asked for:\n\n\`\`\`json\n${text}\n\`\`\``,
      () => text.replace(/\}$/u, ',}'),
      () => `${text}\n\nI chose this because of "${source.slice(0, 60)}".`,
    );
  return pick(random, mistakes)();
}

function withoutLast(value: JsonValue): JsonValue {
  return isObject(value) ? Object.fromEntries(Object.entries(value).slice(0, -1)) : [value];
}

/** The first text field gets a value no enum lists. */
function withUnknownWord(value: JsonValue): JsonValue {
  if (!isObject(value)) return [value];
  const name = Object.keys(value).find((key) => typeof value[key] === 'string');
  return name === undefined ? withoutLast(value) : { ...value, [name]: `${String(value[name])}_or_similar` };
}

function isObject(value: JsonValue): value is { [name: string]: JsonValue } {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The first JSON object in a text that reads like a JSON Schema of an object. */
export function findSchema(text: string): unknown {
  for (let start = text.indexOf('{'); start >= 0; start = text.indexOf('{', start + 1)) {
    if (!/^\{\s*"/u.test(text.slice(start, start + 100))) continue;
    const end = closingBrace(text, start);
    if (end === undefined) continue;
    try {
      const value = JSON.parse(text.slice(start, end + 1)) as Record<string, unknown>;
      if (typeof value['properties'] === 'object') return value;
    } catch {
      continue; // braces in prose
    }
  }
  return undefined;
}

function closingBrace(text: string, start: number): number | undefined {
  let depth = 0;
  let quoted = false;
  for (let at = start; at < text.length; at++) {
    const character = text[at];
    if (quoted && character === '\\') at++;
    else if (character === '"') quoted = !quoted;
    else if (!quoted && character === '{') depth++;
    else if (!quoted && character === '}' && --depth === 0) return at;
  }
  return undefined;
}
