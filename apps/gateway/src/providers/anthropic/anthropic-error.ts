import { readError, type ReportedError } from '../openai/openai-error.js';

/** `{ type: "error", error: { type, message } }`; a proxy in front of it may say anything else. Its type is its code. */
export function readAnthropicError(body: unknown): ReportedError {
  const { message, code, param } = readError(body);
  const type = (body as { error?: { type?: unknown } | null } | null | undefined)?.error?.type;
  return { message, code: code ?? (typeof type === 'string' ? type : undefined), param };
}
