import { isUtf8 } from 'node:buffer';
import { MAX_NESTING, nestsTooDeeply } from '#libs/core/nesting/nesting.js';
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
  try {
    return parseExactly(text);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    const quoted = quoteNonFinite(text);
    if (quoted !== text)
      try {
        return parseExactly(quoted);
      } catch (again) {
        if (!(again instanceof SyntaxError)) throw again;
        // The first error speaks of the text as it was sent.
      }
    throw new MlflowError('BAD_REQUEST', `The body is not valid JSON: ${error.message}`);
  }
}

/** Depth is looked at first: per level, reviving costs a hundred times what parsing does. */
function parseExactly(text: string): unknown {
  const value: unknown = JSON.parse(text);
  if (nestsTooDeeply(value, text.length))
    throw new MlflowError(
      'BAD_REQUEST',
      `The body is nested more than ${MAX_NESTING} levels deep; flatten it.`,
    );
  return MAYBE_UNSAFE.test(text) ? JSON.parse(text, keepExact) : value;
}

/** See https://github.com/tc39/proposal-json-parse-with-source; TypeScript's library does not know it yet. */
function keepExact(_key: string, value: unknown, context?: { source?: string }): unknown {
  if (typeof value !== 'number' || Number.isSafeInteger(value) || !Number.isInteger(value)) return value;
  const source = context?.source;
  return source !== undefined && /^-?\d+$/.test(source) ? BigInt(source) : value;
}

/** A text that is never closed ends with the input: looked for again from each of its quotes, it would take hours. */
function quoteNonFinite(text: string): string {
  return text.replace(/"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?$)|-?\b(?:NaN|Infinity)\b/gs, (token) =>
    token.startsWith('"') ? token : `"${token === '-NaN' ? 'NaN' : token}"`,
  );
}
