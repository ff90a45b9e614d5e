import type { Generation, Task } from '#libs/core/content/types.js';
import type { Fields } from '../providers/canonical.js';
import type { AnswerFacts } from '../providers/openai/openai-answer.js';
import type { Provider } from '../providers/provider.js';
import type { ChatRequest } from './chat-request.js';

/**
 * The form that requests of a task have inside, where it is not the chat completion: how they are put to a model
 * endpoint, and what of an answer is read and kept. Such requests have no messages, no stream and generate nothing.
 */
export interface Form {
  /** What a chain has to do for it. */
  readonly task: Task;
  /** What an answer is, for messages. */
  readonly answer: string;
  /**
   * Path and query.
   * @param base path of the replica's base URL, without trailing slash.
   */
  path(provider: Provider, base: string, model: string, apiVersion: string): string;
  /** The body of an attempt, as JSON text. */
  writeRequest(generation: Generation, fields: Fields): string;
  /** @returns undefined for what is no answer to the request. */
  readAnswer(answer: unknown, request: ChatRequest): AnswerFacts | undefined;
  /** What the row keeps of an answer, as JSON text. */
  keptAnswer(answer: Fields): string;
}
