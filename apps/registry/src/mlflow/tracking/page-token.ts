import { isRefusal, MlflowError } from '../protocol/mlflow-error.js';

/** The place where a page ended, as text that clients only hand back. */
export function encodeToken(place: readonly string[]): string {
  return Buffer.from(JSON.stringify(place)).toString('base64url');
}

/** @throws MlflowError INVALID_PARAMETER_VALUE unless `encodeToken` made it from as many texts. */
export function decodeToken(token: string, length: number): string[] {
  try {
    const place: unknown = JSON.parse(Buffer.from(token, 'base64url').toString('utf8'));
    if (Array.isArray(place) && place.length === length && place.every((part) => typeof part === 'string'))
      return place;
  } catch {
    // What is not JSON is as bad as the wrong shape.
  }
  throw badToken();
}

export function badToken(): MlflowError {
  return new MlflowError(
    'INVALID_PARAMETER_VALUE',
    'Invalid page token: it is not one that this search returned; start again without it.',
  );
}

/** The most items of a page of runs or experiments. */
export const MAX_RESULTS = 50_000;

/** @throws MlflowError INVALID_PARAMETER_VALUE. */
export function assertPageSize(maxResults: number): void {
  if (maxResults < 1) throw badPageSize(maxResults, 'It must be a positive integer');
  if (maxResults > MAX_RESULTS) throw badPageSize(maxResults, `It must be at most ${MAX_RESULTS}`);
}

function badPageSize(maxResults: number, why: string): MlflowError {
  return new MlflowError(
    'INVALID_PARAMETER_VALUE',
    `Invalid value ${maxResults} for parameter 'max_results' supplied. ${why}`,
  );
}

/** What a search says of a cursor, said of a page token. */
export function asTokenError(error: unknown): never {
  throw isRefusal(error, 'INVALID_CURSOR')
    ? new MlflowError('INVALID_PARAMETER_VALUE', `Invalid page token: ${error.message}`)
    : error;
}
