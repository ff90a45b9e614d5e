import type { IncomingHttpHeaders } from 'node:http';
import type { Dispatcher } from 'undici';
import { SseSplitter } from '#libs/core/sse/sse-splitter.js';
import { readErrorBytes } from '../providers/openai/openai-error.js';
import type { Replica, ReplicaLane } from './replica-lane.js';
import { failureOfError, failureOfStatus, retryAfterMs, UpstreamFailure } from './upstream-failure.js';

/** Largest answer taken from a model endpoint, in bytes. */
const MAX_ANSWER_BYTES = 64 * 1024 * 1024;
/** As much of an error's body as is read and kept. */
const MAX_ERROR_BYTES = 64 * 1024;
/** How long a replica may go on after the end of its answer, before its connection is closed for it. */
const LINGER_MS = 2_000;

/** Who hears of an attempt. After `onAnswer`, `onStreamEnd` or `onFailure` nothing more comes. */
export interface UpstreamListener {
  /** The whole body of an answer in one piece. */
  onAnswer(body: Buffer): void;
  /** Complete events of a streamed answer. */
  onEvents(events: readonly Buffer[]): void;
  /** A streamed answer has ended. */
  onStreamEnd(): void;
  onFailure(failure: UpstreamFailure): void;
  /** The call itself failed, by a fault of the gateway. */
  onCrash(error: unknown): void;
}

type State = 'waiting' | 'answer' | 'stream' | 'refusal' | 'over';

/** One attempt at one replica: undici's handler, without promises or streams in between. */
export class UpstreamCall implements Dispatcher.DispatchHandler {
  private state: State = 'waiting';
  private controller: Dispatcher.DispatchController | undefined;
  private readonly chunks: Buffer[] = [];
  private received = 0;
  private splitter: SseSplitter | undefined;
  private status = 0;
  private retryAfter: number | undefined;
  private released = false;
  private linger: NodeJS.Timeout | undefined;

  constructor(
    private readonly lane: ReplicaLane,
    readonly replica: Replica,
    private readonly streamed: boolean,
    private readonly listener: UpstreamListener,
  ) {}

  /** @param headers flat list of names and values. */
  start(headers: string[], body: Buffer): void {
    this.replica.pool.dispatch({ method: 'POST', path: this.replica.path, headers, body }, this);
  }

  /** Ends the attempt: the connection is closed at once, so that the replica stops generating. */
  abort(): void {
    this.state = 'over';
    if (this.released) return;
    this.release();
    this.controller?.abort(new Error('aborted'));
  }

  pause(): void {
    this.controller?.pause();
  }

  resume(): void {
    this.controller?.resume();
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.controller = controller;
    if (this.state === 'over') controller.abort(new Error('aborted'));
  }

  onResponseStart(
    _controller: Dispatcher.DispatchController,
    status: number,
    headers: IncomingHttpHeaders,
  ): void {
    if (status < 200 || this.state === 'over') return;
    this.status = status;
    if (status !== 200) {
      this.state = 'refusal';
      this.retryAfter = retryAfterMs(headers['retry-after'], Date.now());
    } else if (this.streamed && headers['content-type']?.includes('text/event-stream')) {
      this.state = 'stream';
      this.splitter = new SseSplitter();
    } else this.state = 'answer';
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    try {
      this.take(chunk);
    } catch (error) {
      this.crash(error); // undici would swallow it
    }
  }

  onResponseEnd(): void {
    try {
      this.finish();
    } catch (error) {
      this.crash(error);
    }
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error & { code?: string }): void {
    this.release();
    if (this.state === 'over') return;
    const began = this.state !== 'waiting';
    this.state = 'over';
    this.listener.onFailure(failureOfError(error, this.replica.baseUrl, began));
  }

  /**
   * Nothing more is wanted of a streamed answer. What the replica still sends is read and dropped, for a moment: the
   * end usually comes at once, and the connection can be used again.
   */
  complete(): void {
    this.state = 'over';
    if (this.released) return;
    this.controller?.resume();
    this.linger = setTimeout(() => this.abort(), LINGER_MS);
    this.linger.unref();
  }

  private take(chunk: Buffer): void {
    if (this.state === 'over') return;
    this.received += chunk.length;
    if (this.received > MAX_ANSWER_BYTES) {
      this.fail(
        new UpstreamFailure(
          'upstream_too_large',
          `${this.replica.baseUrl} answered with more than ${MAX_ANSWER_BYTES} bytes.`,
        ),
      );
      return;
    }
    if (this.state === 'stream') {
      const events = this.splitter!.push(chunk);
      if (events.length > 0) this.listener.onEvents(events);
      return;
    }
    this.chunks.push(chunk);
    if (this.state === 'refusal' && this.received > MAX_ERROR_BYTES) this.refused();
  }

  private finish(): void {
    this.release();
    switch (this.state) {
      case 'stream':
        this.state = 'over';
        this.listener.onStreamEnd();
        return;
      case 'answer':
        this.state = 'over';
        this.answered();
        return;
      case 'refusal':
        this.refused();
        return;
      case 'waiting':
      case 'over':
        return;
    }
  }

  private answered(): void {
    const body = this.body();
    if (this.streamed)
      this.listener.onFailure(
        new UpstreamFailure(
          'upstream_malformed',
          `${this.replica.baseUrl} was asked for a stream and answered with something else.`,
          { body },
        ),
      );
    else this.listener.onAnswer(body);
  }

  private refused(): void {
    const body = this.body().subarray(0, MAX_ERROR_BYTES);
    const reported = readErrorBytes(body);
    this.fail(failureOfStatus(this.status, this.replica.baseUrl, reported, this.retryAfter, body));
  }

  private fail(failure: UpstreamFailure): void {
    this.abort();
    this.listener.onFailure(failure);
  }

  private crash(error: unknown): void {
    this.abort();
    this.listener.onCrash(error);
  }

  private body(): Buffer {
    return this.chunks.length === 1 ? this.chunks[0]! : Buffer.concat(this.chunks);
  }

  private release(): void {
    if (this.released) return;
    this.released = true;
    clearTimeout(this.linger);
    this.lane.release(this.replica);
  }
}
