import { DomainError, type ErrorCode } from '#libs/core/errors/catalogue.js';
import { toDomainError } from '../../http/error.filter.js';

/** The error codes of MLflow's protocol that this server answers, and the HTTP status MLflow gives them. */
export const MLFLOW_STATUS = {
  BAD_REQUEST: 400,
  INVALID_PARAMETER_VALUE: 400,
  RESOURCE_ALREADY_EXISTS: 400,
  UNAUTHENTICATED: 401,
  PERMISSION_DENIED: 403,
  RESOURCE_DOES_NOT_EXIST: 404,
  NOT_FOUND: 404,
  ENDPOINT_NOT_FOUND: 404,
  RESOURCE_CONFLICT: 409,
  INTERNAL_ERROR: 500,
  INVALID_STATE: 500,
  NOT_IMPLEMENTED: 501,
  TEMPORARILY_UNAVAILABLE: 503,
} as const satisfies Record<string, number>;

export type MlflowCode = keyof typeof MLFLOW_STATUS;

/** A refusal in MLflow's words: translations throw it where clients branch on the code or the message. */
export class MlflowError extends Error {
  override readonly name = 'MlflowError';
  readonly status: number;

  constructor(
    readonly code: MlflowCode,
    message: string,
    /** Where the status says more than MLflow's own would (413, 405). */
    status?: number,
  ) {
    super(message);
    this.status = status ?? MLFLOW_STATUS[code];
  }
}

/** What MLflow clients are told for each error of the native services. */
const FROM_DOMAIN: Readonly<Record<ErrorCode, readonly [code: MlflowCode, status?: number]>> = {
  VALIDATION_FAILED: ['INVALID_PARAMETER_VALUE'],
  INVALID_JSON: ['BAD_REQUEST'],
  INVALID_CURSOR: ['INVALID_PARAMETER_VALUE'],
  MALFORMED_REQUEST: ['BAD_REQUEST'],
  UNAUTHENTICATED: ['UNAUTHENTICATED'],
  HOST_NOT_ALLOWED: ['PERMISSION_DENIED'],
  REFERENCE_NOT_FOUND: ['INVALID_PARAMETER_VALUE'],
  REFERENCE_ARCHIVED: ['INVALID_PARAMETER_VALUE'],
  DIGEST_MISMATCH: ['INVALID_PARAMETER_VALUE'],
  // Not one of the codes that clients try again.
  SEARCH_TOO_SLOW: ['INVALID_PARAMETER_VALUE'],
  NOT_FOUND: ['RESOURCE_DOES_NOT_EXIST'],
  METHOD_NOT_ALLOWED: ['ENDPOINT_NOT_FOUND', 405],
  REQUEST_TIMEOUT: ['BAD_REQUEST', 408],
  ALREADY_EXISTS: ['RESOURCE_ALREADY_EXISTS'],
  REVISION_CONFLICT: ['RESOURCE_CONFLICT'],
  ARCHIVED: ['INVALID_PARAMETER_VALUE'],
  DELETED: ['INVALID_PARAMETER_VALUE'],
  IN_USE: ['RESOURCE_CONFLICT'],
  NOT_CLEARED: ['RESOURCE_CONFLICT'],
  IMMUTABLE: ['INVALID_PARAMETER_VALUE'],
  UPLOAD_INCOMPLETE: ['INVALID_PARAMETER_VALUE'],
  PAYLOAD_TOO_LARGE: ['INVALID_PARAMETER_VALUE', 413],
  UNSUPPORTED_MEDIA_TYPE: ['BAD_REQUEST'],
  RANGE_NOT_SATISFIABLE: ['BAD_REQUEST', 416],
  HEADERS_TOO_LARGE: ['BAD_REQUEST', 431],
  INTERNAL: ['INTERNAL_ERROR'],
  DATABASE_UNAVAILABLE: ['TEMPORARILY_UNAVAILABLE'],
  OBJECT_STORE_UNAVAILABLE: ['TEMPORARILY_UNAVAILABLE'],
};

/** Whatever was thrown, as MLflow's clients understand it; what nobody knows is INTERNAL_ERROR. */
export function toMlflowError(thrown: unknown): MlflowError {
  if (thrown instanceof MlflowError) return thrown;
  const error = toDomainError(thrown);
  const [code, status] = FROM_DOMAIN[error.code];
  return new MlflowError(code, error.message, status);
}

/** Whether a native service refused with this code: `catch (e) { if (isRefusal(e, 'NOT_FOUND')) … }`. */
export function isRefusal(thrown: unknown, ...codes: readonly ErrorCode[]): thrown is DomainError {
  return thrown instanceof DomainError && codes.includes(thrown.code);
}

/** How MLflow ends what it says of a parameter. */
export const SEE_THE_DOCS = 'See the API docs for more information about request parameters.';

export function missingValue(path: string): MlflowError {
  return new MlflowError(
    'INVALID_PARAMETER_VALUE',
    `Missing value for required parameter '${path}'. ${SEE_THE_DOCS}`,
  );
}

/** A value of the wrong type, or outside its bounds. */
export class WrongType extends MlflowError {
  constructor(
    readonly path: string,
    readonly value: unknown,
    text: string = shown(value),
    type: string = pythonType(value),
  ) {
    super(
      'INVALID_PARAMETER_VALUE',
      `Invalid value ${text} for parameter '${path}' supplied:  Hint: Value was of type '${type}'. ${SEE_THE_DOCS}`,
    );
  }
}

export function wrongType(path: string, value: unknown): MlflowError {
  return new WrongType(path, value);
}

/** A value of the right type that is no good. */
export function invalidValue(path: string, value: unknown, why: string): MlflowError {
  return new MlflowError(
    'INVALID_PARAMETER_VALUE',
    `Invalid value ${shown(value)} for parameter '${path}' supplied: ${why}`,
  );
}

const MOST_SHOWN = 500;

/** As MLflow shows a value; a long one is cut. */
function shown(value: unknown): string {
  let text: string | undefined;
  try {
    text = JSON.stringify(value, (_, inner: unknown) =>
      typeof inner === 'bigint' || (typeof inner === 'number' && !Number.isFinite(inner))
        ? String(inner)
        : inner,
    );
  } catch {
    // Nested deeper than the stack: nothing that helps to be shown.
    return '…';
  }
  if (text === undefined) return 'null';
  return text.length > MOST_SHOWN ? `${text.slice(0, MOST_SHOWN)}…` : text;
}

/** MLflow names Python's types, and its own tests read them. */
function pythonType(value: unknown): string {
  if (value === null || value === undefined) return 'NoneType';
  if (Array.isArray(value)) return 'list';
  if (typeof value === 'number' && !Number.isInteger(value)) return 'float';
  return PYTHON_TYPES[typeof value] ?? 'dict';
}

const PYTHON_TYPES: Readonly<Record<string, string>> = {
  string: 'str',
  boolean: 'bool',
  bigint: 'int',
  number: 'int',
};
