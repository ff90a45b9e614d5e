/**
 * Every error code of the native API and the one HTTP status it has.
 * Services throw `DomainError` with a code; only the edge turns it into a status, through this map.
 */
export const ERROR_STATUS = {
  VALIDATION_FAILED: 400,
  INVALID_JSON: 400,
  INVALID_CURSOR: 400,
  MALFORMED_REQUEST: 400,
  UNAUTHENTICATED: 401,
  HOST_NOT_ALLOWED: 403,
  REFERENCE_NOT_FOUND: 422,
  REFERENCE_ARCHIVED: 422,
  DIGEST_MISMATCH: 422,
  SEARCH_TOO_SLOW: 422,
  NOT_FOUND: 404,
  METHOD_NOT_ALLOWED: 405,
  REQUEST_TIMEOUT: 408,
  ALREADY_EXISTS: 409,
  REVISION_CONFLICT: 409,
  ARCHIVED: 409,
  DELETED: 409,
  IN_USE: 409,
  NOT_CLEARED: 409,
  IMMUTABLE: 409,
  UPLOAD_INCOMPLETE: 409,
  PAYLOAD_TOO_LARGE: 413,
  UNSUPPORTED_MEDIA_TYPE: 415,
  RANGE_NOT_SATISFIABLE: 416,
  HEADERS_TOO_LARGE: 431,
  INTERNAL: 500,
  DATABASE_UNAVAILABLE: 503,
  OBJECT_STORE_UNAVAILABLE: 503,
} as const satisfies Record<string, number>;

export type ErrorCode = keyof typeof ERROR_STATUS;

/**
 * A refusal with a code. The message says what was wrong and how to mend it; `details` is for programs
 * (for instance the two revisions of a conflict, or one entry per bad field).
 */
export class DomainError extends Error {
  override readonly name = 'DomainError';

  constructor(
    readonly code: ErrorCode,
    message: string,
    readonly details?: unknown,
  ) {
    super(message);
  }
}
