import type { ServerResponse } from 'node:http';
import { errorBody, type GatewayError } from '../http/gateway-error.js';
import { sendError } from '../http/respond.js';

const JSON_TYPE = 'application/json; charset=utf-8';

/** Writes the answer of an admitted request; every answer says what ran. */
export class AnswerWriter {
  constructor(
    private readonly response: ServerResponse,
    private readonly inferenceId: string,
    private readonly requestId: string,
    /** Names and values of the headers that tell what answers. */
    private readonly servedHeaders: readonly string[],
  ) {}

  /** An answer in one piece, as the bytes received. */
  sendAnswer(body: Buffer): void {
    this.response.writeHead(
      200,
      this.headers('content-type', JSON_TYPE, 'content-length', String(body.length)),
    );
    this.response.end(body);
  }

  /** Of a request that has no row, so that there is none to name. */
  sendRefusal(error: GatewayError): void {
    sendError(this.response, error, this.requestId);
  }

  sendError(error: GatewayError): void {
    const body = Buffer.from(errorBody(error));
    const headers = this.headers('content-type', JSON_TYPE, 'content-length', String(body.length));
    if (error.headers) for (const name in error.headers) headers.push(name, error.headers[name]!);
    this.response.writeHead(error.status, headers);
    this.response.end(body);
  }

  beginStream(): void {
    this.response.writeHead(
      200,
      this.headers(
        'content-type',
        'text/event-stream; charset=utf-8',
        'cache-control',
        'no-cache',
        // nginx would otherwise gather the stream before it passes it on.
        'x-accel-buffering',
        'no',
      ),
    );
  }

  /** An error after the first content is an event of its own, and no `[DONE]` follows it. */
  endStream(failure: GatewayError | undefined, held: readonly Buffer[]): void {
    if (!this.response.headersSent) this.beginStream();
    this.response.end(failure ? `data: ${errorBody(failure)}\n\n` : Buffer.concat(held));
  }

  private headers(...own: string[]): string[] {
    own.push('x-catena-inference-id', this.inferenceId, 'x-request-id', this.requestId);
    for (const text of this.servedHeaders) own.push(text);
    return own;
  }
}
