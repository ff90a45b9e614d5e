import { isFields } from './openai-answer.js';

/** What a server said about its failure. */
export interface ReportedError {
  readonly message: string | undefined;
  readonly code: string | undefined;
  readonly param: string | undefined;
}

const MAX_MESSAGE = 2_000;

/** Reads an error body: OpenAI's `{ error: {…} }`, older vLLM's `{ object: "error", message }`, or FastAPI's `{ detail }`. */
export function readError(body: unknown): ReportedError {
  const outer = isFields(body) ? body : {};
  const error = isFields(outer['error']) ? outer['error'] : outer;
  const message =
    textOf(error['message']) ??
    textOf(outer['error']) ??
    textOf(outer['detail']) ??
    (outer['detail'] === undefined ? undefined : JSON.stringify(outer['detail']));
  const code = error['code'];
  return {
    message: message?.slice(0, MAX_MESSAGE),
    // vLLM repeats the status as a number here.
    code: textOf(code),
    param: textOf(error['param']),
  };
}

/** An error body of bytes that may be anything: HTML, nothing at all. @param read of the provider. */
export function readErrorBytes(bytes: Buffer, read: (body: unknown) => ReportedError): ReportedError {
  try {
    return read(JSON.parse(bytes.toString('utf8')));
  } catch {
    return { message: undefined, code: undefined, param: undefined };
  }
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}
