import { dataOf, hasForeignName } from '#libs/core/sse/sse-splitter.js';
import { UpstreamFailure } from '../dispatch/upstream-failure.js';
import type { AnswerFacts } from '../providers/openai/openai-answer.js';
import { readError } from '../providers/openai/openai-error.js';
import { StreamedAnswer } from '../providers/openai/openai-stream.js';
import type { StreamReader } from '../providers/provider.js';

const DONE = '[DONE]';
const DONE_EVENT = Buffer.from('data: [DONE]\n\n');
/** Of a request's JSON; of English prose it is about four and a half. */
const BYTES_PER_TOKEN = 4;

/**
 * The streamed answer of one attempt on its way to the caller: which of its events go out now, which wait, and
 * when it is complete or broken.
 */
export class StreamRelay {
  readonly answer = new StreamedAnswer();
  /** Events without content: they wait for content, or for the row, so that the end of a stream waits for the row. */
  held: Buffer[] = [];
  /** The answer is complete: all choices have ended, and the server said so. */
  isComplete = false;
  /** Why the stream is of no more use. */
  failure: UpstreamFailure | undefined;
  /** Events with content, which is nearly always one token each. */
  contents = 0;

  /**
   * @param from which replica, for messages.
   * @param choices how many were asked for.
   * @param wantsUsage whether the caller asked for the usage chunk.
   * @param reader of the events, where they are no chunks.
   */
  constructor(
    private readonly from: string,
    private readonly choices: number,
    private readonly wantsUsage: boolean,
    private readonly reader?: StreamReader,
  ) {}

  /** Takes events. @returns those that go out now; undefined for none. Then see `isComplete` and `failure`. */
  take(events: readonly Buffer[]): Buffer[] | undefined {
    let ready: Buffer[] | undefined;
    for (const event of this.reader ? this.reader.take(events) : events) {
      const data = dataOf(event);
      if (data === undefined) {
        // A heartbeat. Before the first content there is no stream yet to keep alive.
        if (this.contents > 0 && this.held.length === 0) (ready ??= []).push(event);
        continue;
      }
      if (data === DONE) {
        this.close(event);
        return ready;
      }
      const kind = this.answer.take(data);
      if (kind === 'content') {
        this.contents++;
        if (this.held.length > 0) {
          // Not as arguments, of which there may be some 100 000.
          ready = ready ? ready.concat(this.held) : this.held;
          this.held = [];
        }
        (ready ??= []).push(event);
      } else if (kind === 'silent') this.held.push(event);
      else if (kind === 'usage') {
        if (this.wantsUsage) this.held.push(event);
      } else if (kind === 'error' || !hasForeignName(event)) {
        this.failure = kind === 'error' ? this.reported(data) : this.malformed('an event that is no chunk');
        return ready;
      }
    }
    return ready;
  }

  /** The connection has ended without `[DONE]`, which some servers leave out. Then see `isComplete` and `failure`. */
  end(): void {
    const { answer } = this;
    if (answer.isFinished && answer.begun >= this.choices) {
      this.held.push(DONE_EVENT);
      this.isComplete = true;
    } else this.failure = this.interrupted();
  }

  /**
   * What has come of an answer that comes to no end. Few servers tell its tokens before the end, or not all of them;
   * they have been generated and will be paid for, so that they are estimated then: one for each content received, and
   * one for every four bytes of the request.
   * @returns undefined where nothing came.
   */
  partial(requestBytes: number): { readonly text: string; readonly facts: AnswerFacts } | undefined {
    if (this.answer.isEmpty) return undefined;
    const { text, facts } = this.answer.assemble();
    if (this.contents === 0) return { text, facts };
    const inputTokens = facts.inputTokens ?? Math.ceil(requestBytes / BYTES_PER_TOKEN);
    const outputTokens = Math.max(this.contents, facts.outputTokens ?? 0);
    return { text, facts: { ...facts, inputTokens, outputTokens } };
  }

  private close(done: Buffer): void {
    const { answer } = this;
    if (answer.isFinished) {
      this.held.push(done);
      this.isComplete = true;
    } else
      this.failure = answer.begun === 0 ? this.malformed('[DONE] without an answer') : this.interrupted();
  }

  private reported(data: string): UpstreamFailure {
    const message = readError(this.answer.error).message ?? data.slice(0, 500);
    return new UpstreamFailure('upstream_error', `${this.from} reported an error: ${message}`);
  }

  private malformed(what: string): UpstreamFailure {
    return new UpstreamFailure('upstream_malformed', `${this.from} sent ${what}, no chat completion.`);
  }

  private interrupted(): UpstreamFailure {
    return new UpstreamFailure(
      'upstream_stream_interrupted',
      `${this.from} ended its stream before the answer was complete.`,
    );
  }
}
