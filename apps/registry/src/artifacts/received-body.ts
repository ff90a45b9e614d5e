import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import { DomainError } from '#libs/core/errors/catalogue.js';
import { MAX_WRITE_BYTES } from '#libs/platform/object-store/object-store.js';
import { streamed } from '#libs/platform/streams/buffer-pressure.js';

/** Longest silence of a client that is sending a body. */
const IDLE_TIMEOUT_MS = 120_000;

/** A request body on its way into the object store: counted and digested as it passes. */
export class ReceivedBody {
  readonly stream: Readable;
  sizeBytes = 0;
  /** Content-length; undefined for a chunked body. Node sees to it that no more bytes come. */
  readonly announcedBytes: number | undefined;
  /** Why the body is unusable, once it is: the client went away, or sends too much. */
  failure: DomainError | undefined;
  private readonly hash = createHash('sha256');

  constructor(private readonly request: IncomingMessage) {
    const length = request.headers['content-length'];
    this.announcedBytes = length === undefined ? undefined : Number(length);
    this.stream = Readable.from(this.passing(), { objectMode: false });
  }

  /** Of the whole body; call it once, at the end. */
  sha256(): string {
    return this.hash.digest('hex');
  }

  private async *passing(): AsyncGenerator<Buffer> {
    this.request.setTimeout(IDLE_TIMEOUT_MS, () => this.request.destroy());
    try {
      // The request outlives this stream: it is what the answer goes back on.
      for await (const chunk of this.request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
        this.sizeBytes += chunk.length;
        if (this.sizeBytes > MAX_WRITE_BYTES) throw tooLarge();
        this.hash.update(chunk);
        streamed(chunk.length);
        yield chunk;
      }
    } catch (error) {
      if (error instanceof DomainError) this.failure = error;
      // Otherwise the store gave up reading, and `error` tells why: the client did nothing wrong.
      else if (this.request.errored)
        this.failure = new DomainError(
          'VALIDATION_FAILED',
          'The body ended before its content-length; nothing was stored.',
        );
      throw this.failure ?? error;
    } finally {
      this.request.setTimeout(0);
    }
  }
}

/** How long a client may go on sending what nobody wants any more. */
const DRAIN_MS = 30_000;

/**
 * Reads the rest of a refused body away, so that the client gets to reading the answer. Node does so only for a
 * body that nobody began to read; a half-read one would block the connection.
 */
export function drain(request: IncomingMessage): void {
  if (request.complete || request.destroyed) return;
  request.resume();
  const timer = setTimeout(() => request.destroy(), DRAIN_MS).unref();
  request.once('close', () => clearTimeout(timer));
}

export function tooLarge(): DomainError {
  return new DomainError(
    'PAYLOAD_TOO_LARGE',
    `The body has more than ${MAX_WRITE_BYTES} bytes, the most that can be streamed through the registry; use a presigned upload.`,
  );
}
