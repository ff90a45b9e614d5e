import type { GatewayError } from '../http/gateway-error.js';
import type { Fields } from '../providers/canonical.js';
import type { ChatRequest } from './chat-request.js';
import type { Form } from './form.js';

/**
 * A protocol that callers speak: pure transforms between it and the canonical form, which is OpenAI's chat completion.
 * What is absent needs no transform, and its bytes go out as they came.
 */
export interface Ingress {
  /** Path of its route, which is a POST. */
  readonly path: string;
  /**
   * @param unitHeader header `x-catena-unit`.
   * @param idHeader header `x-client-request-id`.
   * @throws GatewayError 400 for what is not JSON or has the wrong types, naming the field.
   */
  readRequest(body: Buffer, unitHeader: string | undefined, idHeader?: string): ChatRequest;
  /** Where its clients look for the id of a request, beside `x-request-id`. */
  readonly requestIdHeader?: string;
  /** Of its requests inside, where that is not the chat completion. */
  readonly form?: Form;
  /**
   * An answer in one piece. @param completion a chat completion with at least one choice, or what `form` reads.
   * @returns undefined where its bytes go out as they came.
   */
  readonly writeAnswer?: (completion: Fields, request: ChatRequest) => string | undefined;
  /** A body that tells an error. */
  writeError(error: GatewayError): string;
  readonly openStream?: (request: ChatRequest) => StreamWriter;
}

/**
 * Writes one streamed answer. It is given events of chat completion chunks that were read before, comments between
 * them, and `[DONE]` as the last.
 */
export interface StreamWriter {
  /** What goes out now of these events; it may be nothing. */
  write(chunks: readonly Buffer[]): Buffer;
  /** The rest of a complete answer. */
  end(chunks: readonly Buffer[]): Buffer;
  /** The end of an answer that broke off. */
  fail(error: GatewayError): Buffer;
}
