import { SimulatorError } from './errors.js';
import type { Answer } from './answer.js';
import type { SimulatorOptions } from './options.js';
import { randomFrom } from './random.js';
import { positive, type GenerationRequest } from './request.js';
import { countTokens } from './text.js';

/** What embeddings are asked for. */
export interface EmbeddingsAsked {
  /** Texts; tokens are the text of their numbers. */
  readonly inputs: readonly string[];
  readonly promptTokens: number;
  readonly dimensions: number | undefined;
  readonly base64: boolean;
}

type Body = Readonly<Record<string, unknown>>;

/** Reads a body of `/v1/embeddings`. @throws SimulatorError 400. */
export function parseEmbeddingsRequest(body: Body): GenerationRequest {
  if (typeof body['model'] !== 'string') throw badRequest('model: Field required', 'model');
  const format = body['encoding_format'] ?? 'float';
  if (format !== 'float' && format !== 'base64')
    throw badRequest("encoding_format: Input should be 'float' or 'base64'", 'encoding_format');
  const { input } = body;
  const isOne = typeof input === 'string' || (Array.isArray(input) && typeof input[0] === 'number');
  const given: unknown = isOne ? [input] : input;
  if (!Array.isArray(given) || given.length === 0) throw badRequest('input: Field required', 'input');
  const counts = given.map((item: unknown) => {
    if (typeof item === 'string') return Math.max(1, countTokens(item));
    if (Array.isArray(item) && item.length > 0 && item.every((token) => Number.isInteger(token)))
      return item.length;
    throw badRequest('input: Input should be a valid string or a list of tokens', 'input');
  });
  return {
    model: body['model'],
    messages: [],
    stream: false,
    includeUsage: false,
    continuousUsage: false,
    maxTokens: undefined,
    minTokens: 0,
    ignoreEos: false,
    stop: [],
    seed: undefined,
    constraint: { kind: 'none' },
    embeddings: {
      inputs: given.map((item: unknown) => (typeof item === 'string' ? item : JSON.stringify(item))),
      promptTokens: counts.reduce((sum, count) => sum + count, 0),
      dimensions: positive(body, 'dimensions'),
      base64: format === 'base64',
    },
  };
}

/** When they are ready: the prompt is read, and that is all. @throws SimulatorError 400 for too many dimensions. */
export function planEmbeddings(asked: EmbeddingsAsked, model: string, options: SimulatorOptions): Answer {
  const { promptTokens, dimensions = 1 } = asked;
  if (dimensions > options.embeddingDimensions)
    throw badRequest(
      `Model "${model}" gives ${options.embeddingDimensions} dimensions at most, got ${dimensions}.`,
      'dimensions',
    );
  const rate = options.prefillTokensPerSecond;
  const prefillMs = rate > 0 ? (promptTokens / rate) * 1000 : 0;
  const vectors = asked.inputs.map((text) =>
    vectorOf(text, model, dimensionsOf(asked, options), options.seed),
  );
  return {
    promptTokens,
    tokens: [''],
    finishReason: 'stop',
    stopReason: null,
    ttftMs: options.ttftMs + prefillMs,
    prefillMs,
    intervalMs: 0,
    embeddings: vectors.map((vector) => (asked.base64 ? base64Of(vector) : [...vector])),
  };
}

/** With the fields vLLM sends. */
export function embeddingsBody(
  id: string,
  created: number,
  model: string,
  { embeddings, promptTokens }: Pick<Answer, 'embeddings' | 'promptTokens'>,
): string {
  return JSON.stringify({
    id,
    object: 'list',
    created,
    model,
    data: embeddings!.map((embedding, index) => ({ index, object: 'embedding', embedding })),
    usage: {
      prompt_tokens: promptTokens,
      total_tokens: promptTokens,
      completion_tokens: 0,
      prompt_tokens_details: null,
    },
  });
}

function dimensionsOf({ dimensions }: EmbeddingsAsked, { embeddingDimensions }: SimulatorOptions): number {
  return dimensions ?? embeddingDimensions;
}

/**
 * Of length 1; the same text has the same always. Fewer dimensions are the first of them, as with models that were
 * trained for it. The numbers are those of 32-bit floats, so that JSON and base64 say the same.
 */
export function vectorOf(text: string, model: string, dimensions: number, seed: number): Float32Array {
  const random = randomFrom('embedding', String(seed), model, text);
  const vector = new Float32Array(dimensions);
  for (let at = 0; at < dimensions; at++) vector[at] = random() * 2 - 1;
  const norm = Math.hypot(...vector);
  return vector.map((value) => value / norm);
}

function base64Of(vector: Float32Array): string {
  const bytes = Buffer.alloc(vector.length * 4);
  vector.forEach((value, at) => bytes.writeFloatLE(value, at * 4));
  return bytes.toString('base64');
}

function badRequest(text: string, param: string): SimulatorError {
  return new SimulatorError(400, 'BadRequestError', text, param);
}
