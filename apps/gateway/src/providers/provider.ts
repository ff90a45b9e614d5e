import type { CanonicalRequest, Fields } from './canonical.js';
import type { ReportedError } from './openai/openai-error.js';

/**
 * How a kind of model endpoint is spoken to: data, and pure transforms between its protocol and the canonical form.
 * What is absent needs no transform, and its bytes are passed on as they came.
 */
export interface Provider {
  /** Version of the API that is asked for where the model endpoint names none. */
  readonly apiVersion?: string;
  /**
   * Path and query of a generation.
   * @param base path of the replica's base URL, without trailing slash.
   */
  path(base: string, model: string, apiVersion: string): string;
  /** Path and query of embeddings, likewise; absent where there are none. Both their bodies are OpenAI's. */
  readonly embeddingsPath?: (base: string, model: string, apiVersion: string) => string;
  /** Names and values of headers, one after the other. Made once per change of a model endpoint. */
  headers(credential: string | undefined, apiVersion: string): readonly string[];
  /** The body of a generation as JSON text. It must not throw: what cannot be said is left to the server to refuse. */
  writeRequest(request: CanonicalRequest): string;
  /** `GET {base}/models` lists the names that requests may give. */
  readonly listsModels?: boolean;
  /** What a server says about its failure, out of the body of an answer. */
  readError(body: unknown): ReportedError;
  /**
   * The chat completion an answer is worth.
   * @param createdS seconds since 1970.
   * @returns undefined for what is no answer.
   */
  readonly readAnswer?: (answer: unknown, createdS: number) => Fields | undefined;
  readonly openStream?: (createdS: number) => StreamReader;
}

/** Turns the events of one streamed answer into chat completion chunks, with `[DONE]` at the end. */
export interface StreamReader {
  /** @returns events of chunks, none or many; comments for what only keeps the connection alive. */
  take(events: readonly Buffer[]): Buffer[];
}
