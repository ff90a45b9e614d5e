import type { ServerResponse } from 'node:http';
import type { Counter } from 'prom-client';
import type { Logger } from '#libs/platform/log/logger.js';
import { AttemptPlanner } from '../dispatch/attempt-planner.js';
import type { QueueTicket, Replica, ReplicaLane, ReplicaWaiter } from '../dispatch/replica-lane.js';
import type { ReplicaLanes } from '../dispatch/replica-lanes.js';
import { UpstreamCall, type UpstreamListener } from '../dispatch/upstream-call.js';
import { UpstreamFailure } from '../dispatch/upstream-failure.js';
import type { GatewayError } from '../http/gateway-error.js';
import { parseAnswer, readAnswer, type AnswerFacts } from '../providers/openai/openai-answer.js';
import { readError } from '../providers/openai/openai-error.js';
import type { Spool, SpooledInference, SpoolListener } from '../spool/spool.js';
import { AnswerWriter } from './answer-writer.js';
import { guarded } from './guarded.js';
import type { Ending, Inference } from './inference.js';
import { internalError, refusedBySpool } from './refusals.js';
import { StreamRelay } from './stream-relay.js';

/** What every exchange uses. */
export interface ExchangeServices {
  readonly lanes: ReplicaLanes;
  readonly spool: Spool;
  readonly logger: Logger;
  /** Requests without a row, by error code. */
  readonly refused: Counter;
  readonly totalTimeoutMs: number;
  /** Longest time without progress towards the caller, in milliseconds. */
  readonly stallTimeoutMs: number;
}

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
  /** The closing has been given to the spool. */
  private closing = false;
  private opened = false;
  /** The deadline passed before the opening was in the spool. */
  private expired = false;
  private clientGone = false;

  private relay: StreamRelay | undefined;
  /** Whether content has gone out: from then on there is no other attempt and no status to set. */
  private committed = false;
  private ttftMs: number | null = null;
  /** What goes out when the row is closed. */
  private answer: Buffer | undefined;
  private failure: GatewayError | undefined;

  constructor(
    private readonly services: ExchangeServices,
    private readonly inference: Inference,
    private readonly response: ServerResponse,
    requestId: string,
    /** `performance.now()` at the arrival of the request. */
    private readonly startedMs: number,
  ) {
    this.answerer = new AnswerWriter(response, inference.id, requestId, inference.identity.headers);
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

  @guarded
  onOpened(error: Error | undefined): void {
    if (error) {
      // Nothing was spooled and nothing was sent: this is a refusal, not an inference.
      this.ended = true;
      clearTimeout(this.deadline);
      const refusal = refusedBySpool(error);
      this.services.refused.inc({ code: refusal.code });
      if (!this.clientGone) this.answerer.sendRefusal(refusal);
      return;
    }
    this.opened = true;
    if (this.clientGone) this.cancel();
    else if (this.expired) this.onDeadline();
    else this.attempt();
  }

  @guarded
  onReplica(replica: Replica): void {
    this.ticket = undefined;
    this.send(this.lane!, replica);
  }

  @guarded
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

  @guarded
  onAnswer(body: Buffer): void {
    if (this.ended) return;
    const parsed = parseAnswer(body);
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

  @guarded
  onEvents(events: readonly Buffer[]): void {
    if (this.ended) return;
    const relay = this.relay!;
    const ready = relay.take(events);
    if (ready) {
      if (!this.committed) this.commit();
      this.write(ready);
    }
    if (relay.failure) this.breakOff(relay.failure);
    else if (relay.isComplete) this.completeStream();
  }

  @guarded
  onStreamEnd(): void {
    if (this.ended) return;
    const relay = this.relay!;
    relay.end();
    if (relay.failure) this.onFailure(relay.failure);
    else this.completeStream();
  }

  @guarded
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

  @guarded
  onClosed(error: Error | undefined): void {
    if (this.clientGone) return;
    const failure = error ? refusedBySpool(error) : this.failure;
    if (this.committed || (this.relay && !failure)) this.answerer.endStream(failure, this.relay!.held);
    else if (failure) this.answerer.sendError(failure);
    else this.answerer.sendAnswer(this.answer!);
    if (this.response.writableLength > 0) this.watchStall();
  }

  /** The gateway itself is at fault. The row is closed without the answer, for that may be what could not be handled. */
  onCrash(error: unknown): void {
    const { response, services } = this;
    services.logger.error({ err: error, id: this.inference.id }, 'a request failed inside the gateway');
    try {
      this.leaveQueue();
      this.call?.abort();
      // Nobody watches over it any more. Before the opening is in the spool, onOpened sees that the caller is gone.
      if (this.closing || !this.opened) {
        response.destroy();
        return;
      }
      this.failure = internalError(this.inference.id);
      const { code, message } = this.failure;
      this.end({ status: 'error', error: { code, message } }, undefined);
    } catch (again) {
      services.logger.error({ err: again, id: this.inference.id }, 'a failed request could not be ended');
      response.destroy();
    }
  }

  @guarded
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

  /** Credential, prices and replica are all the lane's, so that none of them outlives the others. */
  private send(lane: ReplicaLane, replica: Replica): void {
    const { inference } = this;
    const { streamed, wantsUsage } = inference.request;
    this.lastReplica = replica;
    this.call = new UpstreamCall(lane, replica, streamed, this);
    inference.sent(lane.prices, replica.baseUrl);
    this.relay = streamed ? new StreamRelay(replica.baseUrl, inference.choices, wantsUsage) : undefined;
    const headers = [
      'content-type',
      'application/json',
      'accept-encoding',
      'identity',
      // vLLM names its log lines after it; a second attempt must not share a name with the first, still running.
      'x-request-id',
      inference.attempt === 1 ? inference.id : `${inference.id}-${inference.attempt}`,
    ];
    if (streamed) headers.push('accept', 'text/event-stream');
    if (lane.credential !== undefined) headers.push('authorization', `Bearer ${lane.credential}`);
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
    this.watchStall();
    this.response.once('drain', () => {
      this.response.socket?.setTimeout(0);
      call?.resume();
    });
  }

  /**
   * A caller that reads nothing would hold a replica's place and a socket for as long as it likes. Node closes the
   * connection when no byte has moved for this long; a slow one that moves lives on.
   */
  private watchStall(): void {
    this.response.socket?.setTimeout(this.services.stallTimeoutMs);
  }

  private completeStream(): void {
    this.call!.complete();
    const { text, facts } = this.relay!.answer.assemble();
    this.end({ status: 'ok', facts }, Buffer.from(text));
  }

  private breakOff(failure: UpstreamFailure): void {
    this.call!.abort();
    this.onFailure(failure);
  }

  private fail(failure: UpstreamFailure): void {
    this.call?.abort();
    const { modelEndpoint } = this.inference.generation;
    this.failure = failure.toError(modelEndpoint, this.lastReplica?.baseUrl);
    const error = { code: failure.code, message: failure.message };
    if (this.relay && !this.relay.answer.isEmpty) {
      const { text, facts } = this.relay.answer.assemble();
      this.end({ status: 'error', error, facts }, Buffer.from(text));
    } else this.end({ status: 'error', error }, failure.details.body);
  }

  @guarded
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
  @guarded
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
    if (this.relay && !this.relay.answer.isEmpty) {
      const { text, facts } = this.relay.answer.assemble();
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
    this.closing = true;
  }

  private elapsedMs(): number {
    return performance.now() - this.startedMs;
  }
}
