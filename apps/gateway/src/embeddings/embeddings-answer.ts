import { readUsage } from '#libs/core/cost/usage.js';
import { isFields, type Fields } from '../providers/canonical.js';
import { carriesError, type AnswerFacts } from '../providers/openai/openai-answer.js';
import type { EncodingFormat } from './embeddings-request.js';

/** Little-endian 32-bit floats, as base64 holds them. */
const FLOAT_BYTES = 4;

/**
 * Reads a list of embeddings.
 * @param vectors how many were asked for: one that is missing would give all that follow to the wrong text.
 * @param format how they will be written, where that is not how they came.
 * @returns undefined for anything that is not exactly so many vectors of one length, and for an error.
 */
export function readEmbeddings(
  parsed: unknown,
  vectors: number,
  format?: EncodingFormat,
): AnswerFacts | undefined {
  if (!isFields(parsed) || carriesError(parsed)) return undefined;
  const { data } = parsed;
  if (!Array.isArray(data) || data.length !== vectors) return undefined;
  const length = lengthOf(data[0]);
  if (length === undefined) return undefined;
  for (let at = 1; at < data.length; at++) if (lengthOf(data[at]) !== length) return undefined;
  if (format && !(data as Fields[]).every(({ embedding }) => isWritable(embedding, length, format)))
    return undefined;
  return { ...usageOf(parsed['usage']), finishReason: null, choices: [] };
}

/** Nothing is generated; some servers tell no more than the total. */
function usageOf(reported: unknown): Omit<AnswerFacts, 'finishReason' | 'choices'> {
  const usage = readUsage(reported);
  const total = isFields(reported)
    ? readUsage({ prompt_tokens: reported['total_tokens'] }).inputTokens
    : null;
  const inputTokens = usage.inputTokens ?? total;
  return { ...usage, inputTokens, outputTokens: usage.outputTokens ?? (inputTokens === null ? null : 0) };
}

/** Length of a vector; undefined for what is none. */
function lengthOf(item: unknown): number | undefined {
  const vector = isFields(item) ? item['embedding'] : undefined;
  if (typeof vector === 'string') {
    const bytes = Buffer.byteLength(vector, 'base64');
    return bytes > 0 && bytes % FLOAT_BYTES === 0 ? bytes / FLOAT_BYTES : undefined;
  }
  if (!Array.isArray(vector) || vector.length === 0) return undefined;
  // What is not a number comes as null, and counts as 0 wherever it is used; 1e999 is read as Infinity.
  for (let at = 0; at < vector.length; at++) if (!Number.isFinite(vector[at])) return undefined;
  return vector.length;
}

/** Whether a vector keeps its numbers when it is written otherwise: JSON has none that are not finite, base64 has no large ones. */
function isWritable(embedding: unknown, length: number, format: EncodingFormat): boolean {
  if (typeof embedding === 'string') {
    if (format === 'base64') return true;
    const floats = floatsOf(embedding);
    return floats.length === length && floats.every(Number.isFinite);
  }
  return (
    format === 'float' || (embedding as number[]).every((number) => Number.isFinite(Math.fround(number)))
  );
}

/**
 * An answer with its vectors as they were asked for. Some servers do not know base64 and answer with floats; OpenAI's
 * clients, which ask for base64 by themselves, break on them or read nonsense out of them:
 * https://github.com/openai/openai-node/pull/1312, https://github.com/lmstudio-ai/lmstudio-bug-tracker/issues/756
 * @returns undefined where they are so already.
 */
export function inFormat(answer: Fields, format: EncodingFormat): string | undefined {
  const data = answer['data'] as Fields[];
  const wanted = format === 'float' ? 'object' : 'string';
  if (data.every(({ embedding }) => typeof embedding === wanted)) return undefined;
  const converted = data.map((item) => {
    const { embedding } = item;
    if (typeof embedding === wanted) return item;
    return {
      ...item,
      embedding: typeof embedding === 'string' ? floatsOf(embedding) : base64Of(embedding as number[]),
    };
  });
  return JSON.stringify({ ...answer, data: converted });
}

function floatsOf(base64: string): number[] {
  const bytes = Buffer.from(base64, 'base64');
  return Array.from({ length: bytes.length / FLOAT_BYTES }, (_, at) => bytes.readFloatLE(at * FLOAT_BYTES));
}

function base64Of(floats: readonly number[]): string {
  const bytes = Buffer.allocUnsafe(floats.length * FLOAT_BYTES);
  for (let at = 0; at < floats.length; at++) bytes.writeFloatLE(floats[at]!, at * FLOAT_BYTES);
  return bytes.toString('base64');
}

/** An answer without its vectors: they are large, say nothing to a reader, and can be made again from the request. */
export function withoutVectors(answer: Fields): string {
  const { data, ...others } = answer;
  const vectors = data as unknown[];
  return JSON.stringify({
    ...others,
    vectors: { count: vectors.length, dimensions: lengthOf(vectors[0]) },
  });
}
