import type { IncomingHttpHeaders } from 'node:http';
import type { Dispatcher } from 'undici';
import { SseSplitter } from '#libs/core/sse/sse-splitter.js';
import { readErrorBytes } from '../providers/openai/openai-error.js';
import type { Lane } from './lane.js';
import type { Replica, Seat } from './replica.js';
import {
  failureOfError,
  failureOfStatus,
  retryAdvice,
  UpstreamFailure,
  type RetryAdvice,
} from './upstream-failure.js';

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
  /** Of the answer; 0 before it begins. */
  status = 0;
  private advice: RetryAdvice | undefined;
  private released = false;
  private linger: NodeJS.Timeout | undefined;

  constructor(
    private readonly lane: Lane,
    readonly replica: Replica,
    private readonly seat: Seat | undefined,
    private readonly streamed: boolean,
    private readonly listener: UpstreamListener,
  ) {}

  /**
   * @param path with the query, where there is one.
   * @param headers flat list of names and values.
   */
  start(path: string, headers: string[], body: Buffer): void {
    // A stream has clocks that look at contents instead of bytes; the pool's would end it before its first content.
    const bodyTimeout = this.streamed ? 0 : null;
    this.replica.pool.dispatch({ method: 'POST', path, headers, body, bodyTimeout }, this);
  }

  /** Ends the attempt: the connection is closed at once, so that the replica stops generating. */
  abort(): void {
    this.state = 'over';
    if (this.released) return;
    this.release();
    this.controller?.abort(new Error('aborted'));
  }

  /** Ends the attempt for a clock that has run out; but a status that has come says more than a clock. */
  giveUp(failure: UpstreamFailure): void {
    if (this.state === 'refusal') this.refused();
    else this.fail(failure);
  }

  /** Whether there is a connection, and the request goes out on it. */
  get isSent(): boolean {
    return this.controller !== undefined;
  }

  /** Whether the headers of an answer have come. */
  get hasBegun(): boolean {
    return this.state !== 'waiting';
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
      this.advice = retryAdvice(headers, Date.now());
    } else if (this.streamed && headers['content-type']?.includes('text/event-stream')) {
      this.state = 'stream';
      this.splitter = new SseSplitter();
    } else if (Number(headers['content-length']) > MAX_ANSWER_BYTES) this.fail(this.tooLarge());
    else this.state = 'answer';
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
    if (this.state === 'refusal') {
      // The status had come, and says more than why its body has not.
      this.refused();
      return;
    }
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
      this.fail(this.tooLarge());
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
    const reported = readErrorBytes(body, this.lane.provider.readError);
    this.fail(failureOfStatus(this.status, this.replica.baseUrl, reported, this.advice!, body));
  }

  private tooLarge(): UpstreamFailure {
    return new UpstreamFailure(
      'upstream_too_large',
      `${this.replica.baseUrl} answered with more than ${MAX_ANSWER_BYTES} bytes.`,
    );
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
    this.lane.release(this.replica, this.seat);
  }
}
