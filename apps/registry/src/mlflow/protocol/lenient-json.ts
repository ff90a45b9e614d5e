import { isUtf8 } from 'node:buffer';
import { MlflowError } from './mlflow-error.js';

/**
 * Parses a request body as MLflow's clients write it: Python's `json.dumps` writes bare `NaN` and `Infinity`
 * (read as the strings "NaN", "Infinity", "-Infinity"), old clients encode the object twice, and integers beyond 2^53
 * must stay exact (read as bigint). An empty body is an empty object.
 * @throws MlflowError BAD_REQUEST unless it is one object.
 */
export function parseLenient(body: Buffer): Record<string, unknown> {
  if (!isUtf8(body)) throw new MlflowError('BAD_REQUEST', 'The body is not valid UTF-8; encode it as UTF-8.');
  const text = body.toString('utf8');
  if (text.trim() === '') return {};
  let value = parseText(text);
  if (typeof value === 'string') value = parseText(value);
  if (value === null) return {};
  if (typeof value !== 'object' || Array.isArray(value))
    throw new MlflowError('BAD_REQUEST', 'The body must be one JSON object.');
  return value as Record<string, unknown>;
}

/** An integer token of 16 digits or more; digits inside a string only cost the slower way. */
const MAYBE_UNSAFE = /(?<![\d.])\d{16,}(?![\d.eE])/;

function parseText(text: string): unknown {
  const revive = MAYBE_UNSAFE.test(text) ? keepExact : undefined;
  try {
    return JSON.parse(text, revive);
  } catch (error) {
    const quoted = quoteNonFinite(text);
    if (quoted !== text)
      try {
        return JSON.parse(quoted, revive);
      } catch {
        // The first error speaks of the text as it was sent.
      }
    throw new MlflowError('BAD_REQUEST', `The body is not valid JSON: ${(error as Error).message}`);
  }
}

/** See https://github.com/tc39/proposal-json-parse-with-source; TypeScript's library does not know it yet. */
function keepExact(_key: string, value: unknown, context?: { source?: string }): unknown {
  if (typeof value !== 'number' || Number.isSafeInteger(value) || !Number.isInteger(value)) return value;
  const source = context?.source;
  return source !== undefined && /^-?\d+$/.test(source) ? BigInt(source) : value;
}

function quoteNonFinite(text: string): string {
  return text.replace(/"[^"\\]*(?:\\.[^"\\]*)*"|-?\b(?:NaN|Infinity)\b/gs, (token) =>
    token.startsWith('"') ? token : `"${token === '-NaN' ? 'NaN' : token}"`,
  );
}
