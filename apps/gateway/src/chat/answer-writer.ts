import type { ServerResponse } from 'node:http';
import type { GatewayError } from '../http/gateway-error.js';
import { sendError } from '../http/respond.js';
import type { Fields } from '../providers/canonical.js';
import type { ChatRequest } from './chat-request.js';
import type { ExchangeServices } from './exchange-services.js';
import type { StreamWriter } from './ingress.js';
import type { Recipient, RecipientListener, Source } from './recipient.js';

const CALLER_LEFT = {
  code: 'client_closed_request',
  message: 'The caller left before the answer was complete.',
};
const CUT = {
  code: 'shutdown',
  message: 'The gateway stopped, and could wait no longer for the answer to be complete.',
};
const JSON_TYPE = 'application/json; charset=utf-8';

/** Writes the answer of an admitted request; every answer says what ran. */
export class AnswerWriter implements Recipient {
  /** The source is held back until the caller has read. */
  isPaused = false;
  /** Undefined where chunks go out as they are. */
  private readonly writer: StreamWriter | undefined;

  constructor(
    private readonly response: ServerResponse,
    private readonly inferenceId: string,
    private readonly requestId: string,
    /** Names and values of the headers that tell what answers. */
    private readonly servedHeaders: readonly string[],
    private readonly services: Pick<ExchangeServices, 'drain' | 'stallTimeoutMs'>,
    private readonly request: ChatRequest,
  ) {
    const { ingress, streamed } = request;
    if (streamed && ingress.openStream) this.writer = ingress.openStream(request);
  }

  get whyGone(): typeof CALLER_LEFT {
    return this.services.drain.isOver ? CUT : CALLER_LEFT;
  }

  watch(listener: RecipientListener): boolean {
    const { response } = this;
    if (response.closed) return false;
    // Also comes after the last byte went out.
    response.on('close', () => {
      if (!response.writableFinished) listener.onRecipientGone();
    });
    return true;
  }

  /** A chat completion as the caller's protocol has it. @param body its bytes. */
  written(body: Buffer, completion: unknown): Buffer {
    const { writeAnswer } = this.request.ingress;
    const text = writeAnswer && writeAnswer(completion as Fields, this.request);
    return text === undefined ? body : Buffer.from(text);
  }

  /** An answer in one piece. */
  sendAnswer(body: Buffer): void {
    this.response.writeHead(
      200,
      this.headers('content-type', JSON_TYPE, 'content-length', String(body.length)),
    );
    this.response.end(body);
  }

  /** Of a request that has no row, so that there is none to name. */
  sendRefusal(error: GatewayError): void {
    sendError(this.response, error, this.requestId, this.request.ingress.writeError);
  }

  sendError(error: GatewayError): void {
    const body = Buffer.from(this.request.ingress.writeError(error));
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

  /** One write per chunk received; when the caller reads more slowly than the model writes, the source is held back. */
  write(events: readonly Buffer[], source: Source): void {
    const { response } = this;
    if (response.write(this.bytesOf(events))) return;
    this.isPaused = true;
    source.pause();
    this.watchStall();
    response.once('drain', () => {
      this.isPaused = false;
      response.socket?.setTimeout(0);
      source.resume();
    });
  }

  /** What it has not read yet does not wait for ever. */
  finish(): void {
    if (this.response.writableLength > 0) this.watchStall();
  }

  drop(): void {
    this.response.destroy();
  }

  /** An error after the first content is an event of its own, and no `[DONE]` follows it. */
  endStream(failure: GatewayError | undefined, held: readonly Buffer[]): void {
    if (!this.response.headersSent) this.beginStream();
    const { response, writer } = this;
    if (writer) response.end(failure ? writer.fail(failure) : writer.end(held));
    else
      response.end(failure ? `data: ${this.request.ingress.writeError(failure)}\n\n` : Buffer.concat(held));
  }

  /**
   * A caller that reads nothing would hold a replica's place and a socket for as long as it likes. Node closes the
   * connection when no byte has moved for this long; a slow one that moves lives on.
   */
  private watchStall(): void {
    this.response.socket?.setTimeout(this.services.stallTimeoutMs);
  }

  private bytesOf(events: readonly Buffer[]): Buffer {
    if (this.writer) return this.writer.write(events);
    return events.length === 1 ? events[0]! : Buffer.concat(events);
  }

  private headers(...own: string[]): string[] {
    own.push('x-catena-inference-id', this.inferenceId, 'x-request-id', this.requestId);
    for (const text of this.servedHeaders) own.push(text);
    const { requestIdHeader } = this.request.ingress;
    if (requestIdHeader) own.push(requestIdHeader, this.requestId);
    return own;
  }
}
