export type GatewayErrorType =
  | 'invalid_request_error'
  | 'permission_error'
  | 'not_found_error'
  | 'rate_limit_error'
  | 'insufficient_quota'
  | 'upstream_error'
  | 'service_unavailable_error'
  | 'server_error';

/** A refusal that is answered in OpenAI's error shape. The message says what was wrong and how to mend it. */
export class GatewayError extends Error {
  override readonly name = 'GatewayError';

  constructor(
    readonly status: number,
    readonly type: GatewayErrorType,
    readonly code: string,
    message: string,
    /** Field or parameter at fault, where there is one. */
    readonly param?: string,
    /** Sent with the answer, names in lower case; for instance `allow` or `retry-after`. */
    readonly headers?: Readonly<Record<string, string>>,
  ) {
    super(message);
  }
}

/** Bad input: 400. */
export function badRequest(code: string, message: string, param?: string): GatewayError {
  return new GatewayError(400, 'invalid_request_error', code, message, param);
}

/** `{ error: { message, type, param, code } }`, as OpenAI answers and its clients read. */
export function errorBody(error: GatewayError): string {
  const { message, type, param = null, code } = error;
  return JSON.stringify({ error: { message, type, param, code } });
}
