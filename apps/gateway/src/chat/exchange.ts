import type { ServerResponse } from 'node:http';
import { dataOf } from '#libs/core/sse/sse-splitter.js';
import type { Logger } from '#libs/platform/log/logger.js';
import { AttemptPlanner } from '../dispatch/attempt-planner.js';
import type { QueueTicket, Replica, ReplicaLane, ReplicaWaiter } from '../dispatch/replica-lane.js';
import type { ReplicaLanes } from '../dispatch/replica-lanes.js';
import { UpstreamCall, type UpstreamListener } from '../dispatch/upstream-call.js';
import { UpstreamFailure } from '../dispatch/upstream-failure.js';
import type { GatewayError } from '../http/gateway-error.js';
import { readAnswer, type AnswerFacts } from '../providers/openai/openai-answer.js';
import { readError } from '../providers/openai/openai-error.js';
import { StreamedAnswer } from '../providers/openai/openai-stream.js';
import type { Snapshot } from '../snapshot/snapshot.js';
import type { Spool, SpooledInference, SpoolListener } from '../spool/spool.js';
import { AnswerWriter } from './answer-writer.js';
import type { Ending, Inference } from './inference.js';
import { refusedBySpool } from './refusals.js';

/** What every exchange uses. */
export interface ExchangeServices {
  readonly lanes: ReplicaLanes;
  readonly spool: Spool;
  readonly logger: Logger;
  readonly totalTimeoutMs: number;
}

const DONE = '[DONE]';
const DONE_EVENT = Buffer.from('data: [DONE]\n\n');

/**
 * One admitted request from its opening to the last byte of its answer. One object with the callbacks of the spool,
 * of the queue and of the upstream, instead of promises and closures per request. The order it keeps:
 * opening in the spool → attempts upstream → closing in the spool → last bytes to the caller.
 */
export class Exchange implements SpoolListener, ReplicaWaiter, UpstreamListener {
  private readonly planner: AttemptPlanner;
  private readonly answerer: AnswerWriter;
  private spooled: SpooledInference | undefined;
  private call: UpstreamCall | undefined;
  private ticket: QueueTicket | undefined;
  private lane: ReplicaLane | undefined;
  private lastReplica: Replica | undefined;
  private backoff: NodeJS.Timeout | undefined;
  private deadline: NodeJS.Timeout | undefined;
  /** The row is being closed, or is closed: whatever still arrives changes nothing. */
  private ended = false;
  private opened = false;
  /** The deadline passed before the opening was in the spool. */
  private expired = false;
  private clientGone = false;

  private stream: StreamedAnswer | undefined;
  /** Whether content has gone out: from then on there is no other attempt and no status to set. */
  private committed = false;
  private ttftMs: number | null = null;
  /** Events without content: they wait for content, or for the row, so that the end of a stream waits for the row. */
  private held: Buffer[] = [];
  /** What goes out when the row is closed. */
  private answer: Buffer | undefined;
  private failure: GatewayError | undefined;

  constructor(
    private readonly services: ExchangeServices,
    private readonly inference: Inference,
    private readonly snapshot: Snapshot,
    private readonly response: ServerResponse,
    requestId: string,
    /** `performance.now()` at the arrival of the request. */
    private readonly startedMs: number,
  ) {
    this.answerer = new AnswerWriter(response, inference.opening, requestId);
    const { retry } = inference.assigned.arm.chain.content;
    this.planner = new AttemptPlanner(inference.generations, retry, Math.random);
  }

  /** @throws GatewayError 503 when the spool is full. */
  start(): void {
    const { inference, services } = this;
    try {
      this.spooled = services.spool.open(inference.opening, inference.body, this);
    } catch (error) {
      throw refusedBySpool(error);
    }
    if (this.response.closed) this.clientGone = true;
    else this.response.on('close', () => this.onClientGone());
    this.deadline = setTimeout(() => this.onDeadline(), services.totalTimeoutMs);
  }

  onOpened(error: Error | undefined): void {
    if (error) {
      // Nothing was spooled and nothing was sent: this is a refusal, not an inference.
      this.ended = true;
      clearTimeout(this.deadline);
      if (!this.clientGone) this.answerer.sendError(refusedBySpool(error));
      return;
    }
    this.opened = true;
    if (this.clientGone) this.cancel();
    else if (this.expired) this.onDeadline();
    else this.attempt();
  }

  onReplica(replica: Replica): void {
    this.ticket = undefined;
    this.send(this.lane!, replica);
  }

  onQueueTimeout(): void {
    this.ticket = undefined;
    const { modelEndpoint } = this.inference.generation;
    this.onFailure(
      new UpstreamFailure(
        'queue_timeout',
        `No replica of "${modelEndpoint}" became free in time; try again later.`,
      ),
    );
  }

  onAnswer(body: Buffer): void {
    if (this.ended) return;
    let parsed: unknown;
    try {
      parsed = JSON.parse(body.toString('utf8'));
    } catch {
      parsed = undefined;
    }
    const facts = readAnswer(parsed);
    if (facts) {
      this.answer = body;
      this.end({ status: 'ok', facts }, body);
      return;
    }
    const { message } = readError(parsed);
    const from = this.lastReplica!.baseUrl;
    this.onFailure(
      message === undefined
        ? new UpstreamFailure(
            'upstream_malformed',
            `${from} answered 200 with something that is no chat completion.`,
            { body },
          )
        : new UpstreamFailure('upstream_error', `${from} answered 200 with an error: ${message}`, { body }),
    );
  }

  onEvents(events: readonly Buffer[]): void {
    if (this.ended) return;
    let ready: Buffer[] | undefined;
    for (const event of events) {
      const data = dataOf(event);
      if (data === undefined) {
        // A heartbeat. Before the first content there is no stream yet to keep alive.
        if (this.committed && this.held.length === 0) (ready ??= []).push(event);
        continue;
      }
      if (data === DONE) {
        if (ready) this.write(ready);
        this.held.push(event);
        this.completeStream();
        return;
      }
      const kind = this.stream!.take(data);
      if (kind === 'content') {
        if (!this.committed) this.commit();
        if (this.held.length > 0) {
          (ready ??= []).push(...this.held);
          this.held = [];
        }
        (ready ??= []).push(event);
      } else if (kind === 'silent') this.held.push(event);
      else if (kind === 'usage') {
        if (this.inference.request.wantsUsage) this.held.push(event);
      } else {
        if (ready) this.write(ready);
        this.failStream(kind, data);
        return;
      }
    }
    if (ready) this.write(ready);
  }

  onStreamEnd(): void {
    if (this.ended) return;
    if (this.stream!.isFinished) {
      this.held.push(DONE_EVENT);
      this.completeStream();
      return;
    }
    this.onFailure(
      new UpstreamFailure(
        'upstream_stream_interrupted',
        `${this.lastReplica!.baseUrl} ended its stream before the answer was complete.`,
      ),
    );
  }

  onFailure(failure: UpstreamFailure): void {
    if (this.ended) return;
    if (this.committed) {
      this.fail(failure);
      return;
    }
    const next = this.planner.next({
      mayRetry: failure.mayRetry,
      mayFallBack: failure.mayFallBack,
      retryAfterMs: failure.details.retryAfterMs,
    });
    if (!next) {
      this.fail(failure);
      return;
    }
    this.call = undefined;
    this.inference.fallBackTo(next.generation);
    if (next.delayMs > 0) this.backoff = setTimeout(() => this.attempt(), next.delayMs);
    else this.attempt();
  }

  onClosed(error: Error | undefined): void {
    if (this.clientGone) return;
    const failure = error ? refusedBySpool(error) : this.failure;
    try {
      if (this.committed || (this.stream && !failure)) this.answerer.endStream(failure, this.held);
      else if (failure) this.answerer.sendError(failure);
      else this.answerer.sendAnswer(this.answer!);
    } catch (unexpected) {
      this.response.destroy(); // No deadline watches any more: the caller would wait for ever.
      throw unexpected;
    }
  }

  private attempt(): void {
    const { generation } = this.inference;
    this.lane = this.services.lanes.find(generation.modelEndpoint);
    if (!this.lane || this.lane.replicas.length === 0) {
      this.onFailure(
        new UpstreamFailure(
          'model_endpoint_unavailable',
          `The model endpoint "${generation.modelEndpoint}" is archived, or has no replica.`,
        ),
      );
      return;
    }
    const place = this.lane.acquire(this, this.lastReplica);
    if (!place)
      this.onFailure(
        new UpstreamFailure(
          'queue_full',
          `All replicas of "${generation.modelEndpoint}" are busy and the queue is full; try again later.`,
        ),
      );
    else if ('timer' in place) this.ticket = place;
    else this.send(this.lane, place);
  }

  private send(lane: ReplicaLane, replica: Replica): void {
    const { inference, snapshot } = this;
    const modelEndpoint = snapshot.modelEndpoints.get(inference.generation.modelEndpoint);
    this.lastReplica = replica;
    inference.sent(modelEndpoint, replica.baseUrl);
    const { streamed } = inference.request;
    if (streamed) {
      this.stream = new StreamedAnswer();
      this.held = [];
    }
    const headers = [
      'content-type',
      'application/json',
      'accept',
      streamed ? 'text/event-stream' : 'application/json',
      'accept-encoding',
      'identity',
      // vLLM names its log lines after it; a second attempt must not share a name with the first, still running.
      'x-request-id',
      inference.attempt === 1 ? inference.id : `${inference.id}-${inference.attempt}`,
    ];
    if (modelEndpoint?.credential !== undefined)
      headers.push('authorization', `Bearer ${modelEndpoint.credential}`);
    this.call = new UpstreamCall(lane, replica, streamed, this);
    this.call.start(headers, inference.body);
  }

  private commit(): void {
    this.committed = true;
    this.ttftMs = this.elapsedMs();
    this.answerer.beginStream();
  }

  /** One write per chunk received; when the caller reads slower than the model writes, the replica is held back. */
  private write(events: readonly Buffer[]): void {
    const bytes = events.length === 1 ? events[0]! : Buffer.concat(events);
    if (this.response.write(bytes)) return;
    const { call } = this;
    call?.pause();
    this.response.once('drain', () => call?.resume());
  }

  private completeStream(): void {
    this.call!.complete();
    const { text, facts } = this.stream!.assemble();
    this.end({ status: 'ok', facts }, Buffer.from(text));
  }

  private failStream(kind: 'error' | 'malformed', data: string): void {
    this.call!.abort();
    const from = this.lastReplica!.baseUrl;
    const message = kind === 'error' ? readError(this.stream!.error).message : undefined;
    this.onFailure(
      kind === 'error'
        ? new UpstreamFailure('upstream_error', `${from} reported an error: ${message ?? data.slice(0, 500)}`)
        : new UpstreamFailure(
            'upstream_malformed',
            `${from} sent an event that is no chat completion chunk.`,
          ),
    );
  }

  private fail(failure: UpstreamFailure): void {
    this.call?.abort();
    this.failure = failure.toError();
    const error = { code: failure.code, message: failure.message };
    if (this.stream && !this.stream.isEmpty) {
      const { text, facts } = this.stream.assemble();
      this.end({ status: 'error', error, facts }, Buffer.from(text));
    } else this.end({ status: 'error', error }, failure.details.body);
  }

  private onDeadline(): void {
    if (this.ended) return;
    if (!this.opened) {
      // There is nothing to close yet: onOpened sees that it is too late.
      this.expired = true;
      return;
    }
    this.leaveQueue();
    this.fail(
      new UpstreamFailure(
        'request_timeout',
        `The request took longer than ${this.services.totalTimeoutMs} ms, all attempts together.`,
      ),
    );
  }

  /** Also called after the last byte went out; then there is nothing to do. */
  private onClientGone(): void {
    if (this.response.writableFinished) return;
    this.clientGone = true;
    if (this.ended) {
      this.call?.abort();
      return;
    }
    // Before the opening is on the disk there is nothing to close yet: onOpened sees that the caller is gone.
    if (this.opened) this.cancel();
  }

  private cancel(): void {
    this.leaveQueue();
    this.call?.abort();
    const error = {
      code: 'client_closed_request',
      message: 'The caller left before the answer was complete.',
    };
    if (this.stream && !this.stream.isEmpty) {
      const { text, facts } = this.stream.assemble();
      this.end({ status: 'cancelled', error, facts }, Buffer.from(text));
    } else this.end({ status: 'cancelled', error }, undefined);
  }

  private leaveQueue(): void {
    clearTimeout(this.backoff);
    if (this.ticket) this.lane!.leave(this.ticket);
    this.ticket = undefined;
  }

  private end(
    ending: Omit<Ending, 'latencyMs' | 'ttftMs'> & { facts?: AnswerFacts },
    response: Buffer | undefined,
  ): void {
    this.ended = true;
    clearTimeout(this.deadline);
    const closing = this.inference.closing({ ...ending, latencyMs: this.elapsedMs(), ttftMs: this.ttftMs });
    this.services.spool.close(this.spooled!, closing, this.inference.replacedBody, response);
  }

  private elapsedMs(): number {
    return performance.now() - this.startedMs;
  }
}
