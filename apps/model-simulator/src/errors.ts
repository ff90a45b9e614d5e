const MESSAGES_TYPES: Readonly<Record<number, string>> = {
  401: 'authentication_error',
  403: 'permission_error',
  404: 'not_found_error',
  413: 'request_too_large',
  429: 'rate_limit_error',
  529: 'overloaded_error',
};

/** An answer other than 2xx, in the shape vLLM 0.10 and later give it. */
export class SimulatorError extends Error {
  override readonly name = 'SimulatorError';

  constructor(
    readonly status: number,
    readonly type: string,
    message: string,
    readonly param: string | null = null,
    readonly headers: Readonly<Record<string, string>> = {},
  ) {
    super(message);
  }

  get body(): string {
    const { message, type, param, status } = this;
    return JSON.stringify({ error: { message, type, param, code: status } });
  }

  /** In Anthropic's shape. https://platform.claude.com/docs/en/api/errors */
  get messagesBody(): string {
    const type = MESSAGES_TYPES[this.status] ?? (this.status < 500 ? 'invalid_request_error' : 'api_error');
    return JSON.stringify({
      type: 'error',
      error: { type, message: this.message },
      request_id: 'req_simulated',
    });
  }
}
