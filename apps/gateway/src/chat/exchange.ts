import type { ServerResponse } from 'node:http';
import type { DataClass } from '#libs/core/clearance/clearance.js';
import { AttemptPlanner } from '../dispatch/attempt-planner.js';
import type { QueueTicket, ReplicaLane, ReplicaWaiter } from '../dispatch/replica-lane.js';
import type { Replica, Seat } from '../dispatch/replica.js';
import { UpstreamCall, type UpstreamListener } from '../dispatch/upstream-call.js';
import type { ClockedStream, RunningClocks, StreamClock } from '../dispatch/stream-clocks.js';
import type { UpstreamFailure } from '../dispatch/upstream-failure.js';
import type { GatewayError } from '../http/gateway-error.js';
import { parseAnswer, readAnswer, type AnswerFacts } from '../providers/openai/openai-answer.js';
import type { SpooledInference, SpoolListener } from '../spool/spool.js';
import { AnswerWriter } from './answer-writer.js';
import type { ExchangeServices } from './exchange-services.js';
import { noCompletion, queueFull, queueTimedOut, silent, tookTooLong, unavailable } from './failures.js';
import { guarded } from './guarded.js';
import type { Ending, Inference } from './inference.js';
import { internalError, refusedBySpool } from './refusals.js';
import { StreamRelay } from './stream-relay.js';
import { upstreamHeaders } from './upstream-headers.js';

/**
 * One admitted request from its opening to the last byte of its answer. One object with the callbacks of the spool,
 * of the queue and of the upstream, instead of promises and closures per request. The order it keeps:
 * opening in the spool → attempts upstream → closing in the spool → last bytes to the caller.
 */
export class Exchange implements SpoolListener, ReplicaWaiter, UpstreamListener, ClockedStream {
  private readonly planner: AttemptPlanner;
  private readonly answerer: AnswerWriter;
  private spooled: SpooledInference | undefined;
  private call: UpstreamCall | undefined;
  private ticket: QueueTicket | undefined;
  private lane: ReplicaLane | undefined;
  private lastReplica: Replica | undefined;
  seat: Seat | undefined;
  private backoff: NodeJS.Timeout | undefined;
  private deadline: NodeJS.Timeout | undefined;
  /** Of the attempt that runs, where it is streamed. */
  private clocks: RunningClocks | undefined;
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
    this.answerer = new AnswerWriter(
      response,
      inference.id,
      requestId,
      inference.identity.headers,
      services.stallTimeoutMs,
      inference.request,
    );
    const { retry } = inference.assigned.arm.chain.content;
    this.planner = new AttemptPlanner(inference.generations, retry, Math.random, inference);
  }

  /** @throws GatewayError 503 when the spool is full. */
  start(): void {
    const { inference, services } = this;
    try {
      this.spooled = services.spool.open(inference.opening, inference.kept(inference.body), this);
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
      this.inference.reservation?.release();
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
    this.onFailure(queueTimedOut(this.inference.generation.modelEndpoint, this.lane!));
  }

  @guarded
  onRefused(failure: UpstreamFailure): void {
    this.ticket = undefined;
    this.onFailure(failure);
  }

  get model(): string {
    return this.inference.generation.model;
  }

  get dataClass(): DataClass {
    return this.inference.dataClass;
  }

  get promptBytes(): number {
    return this.inference.body.length;
  }

  get affinityKey(): number {
    return this.inference.affinityKey;
  }

  @guarded
  onAnswer(body: Buffer): void {
    if (this.ended) return;
    const parsed = parseAnswer(body);
    const { provider } = this.inference;
    const completion = provider.readAnswer ? provider.readAnswer(parsed, nowS()) : parsed;
    const facts = readAnswer(completion);
    if (facts) {
      const kept = completion === parsed ? body : Buffer.from(JSON.stringify(completion));
      this.lane!.succeeded(this.lastReplica!, this.seat);
      this.answer = this.answerer.written(kept, completion);
      this.end({ status: 'ok', facts }, kept);
      return;
    }
    this.onFailure(noCompletion(body, parsed, this.lastReplica!.baseUrl));
  }

  @guarded
  onEvents(events: readonly Buffer[]): void {
    if (this.ended) return;
    const relay = this.relay!;
    const ready = relay.take(events);
    if (ready) {
      if (!this.committed) this.commit();
      this.answerer.write(ready, this.call!);
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

  get isPaused(): boolean {
    return this.answerer.isPaused || !this.call!.isSent;
  }

  get contents(): number {
    return this.relay!.contents;
  }

  @guarded
  onSilence(clock: StreamClock): void {
    this.clocks = undefined; // it has stopped them
    this.call!.giveUp(silent(clock, this.services, this.call!));
  }

  @guarded
  onFailure(failure: UpstreamFailure): void {
    if (this.ended) return;
    this.stopClocks();
    if (this.call) this.lane!.failed(this.call.replica, this.seat, failure);
    if (this.committed) {
      this.fail(failure);
      return;
    }
    const next = this.planner.next({
      mayRetry: failure.mayRetry,
      mayFallBack: failure.mayFallBack,
      retryAfterMs: failure.details.retryAfterMs,
      remainingMs: this.services.totalTimeoutMs - this.elapsedMs(),
      budget: this.lane?.retryBudget,
    });
    if (this.planner.lacksBudget)
      this.services.retriesDenied.inc({ model_endpoint: this.inference.generation.modelEndpoint });
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
    if (this.response.writableLength > 0) this.answerer.watchStall();
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
    this.lane = this.services.lanes.in(this.inference.workspaceId).find(generation.modelEndpoint);
    if (!this.lane || this.lane.replicas.length === 0) {
      this.onFailure(unavailable(generation.modelEndpoint));
      return;
    }
    const place = this.lane.acquire(this, this.lastReplica);
    if (!place) this.onFailure(this.lane.refusalOf(this) ?? queueFull(generation.modelEndpoint, this.lane));
    else if ('timer' in place) this.ticket = place;
    else this.send(this.lane, place);
  }

  /** Credential, prices and replica are all the lane's, so that none of them outlives the others. */
  private send(lane: ReplicaLane, replica: Replica): void {
    const { inference } = this;
    const { streamed, wantsUsage } = inference.request;
    this.lastReplica = replica;
    this.call = new UpstreamCall(lane, replica, this.seat, streamed, this);
    inference.sent(lane.prices, replica.baseUrl);
    if (streamed) {
      this.relay = new StreamRelay(
        replica.baseUrl,
        inference.choices,
        wantsUsage,
        inference.provider.openStream?.(nowS()),
      );
      this.clocks = this.services.clocks.start(this);
    }
    const path = inference.provider.path(replica.path, inference.generation.model, lane.apiVersion);
    this.call.start(path, upstreamHeaders(inference, lane), inference.body);
  }

  private commit(): void {
    this.committed = true;
    this.ttftMs = this.elapsedMs();
    this.lane!.began(this.lastReplica!, this.seat);
    this.answerer.beginStream();
  }

  private completeStream(): void {
    this.call!.complete();
    this.lane!.succeeded(this.lastReplica!, this.seat);
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
    const { code, message } = failure;
    this.endPartial('error', { code, message }, failure.details.body);
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
    this.fail(tookTooLong(this.services.totalTimeoutMs));
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
    const message = 'The caller left before the answer was complete.';
    this.endPartial('cancelled', { code: 'client_closed_request', message }, undefined);
  }

  private stopClocks(): void {
    if (!this.clocks) return;
    this.services.clocks.stop(this.clocks);
    this.clocks = undefined;
  }

  private leaveQueue(): void {
    clearTimeout(this.backoff);
    if (this.ticket) this.lane!.leave(this.ticket);
    this.ticket = undefined;
  }

  /** With what has come of a stream; else with the body of a failed answer, where there is one. */
  private endPartial(
    status: 'error' | 'cancelled',
    error: { readonly code: string; readonly message: string },
    body: Buffer | undefined,
  ): void {
    const partial = this.relay?.partial(this.inference.body.length);
    if (partial) this.end({ status, error, facts: partial.facts }, Buffer.from(partial.text));
    else this.end({ status, error }, body);
  }

  private end(
    ending: Omit<Ending, 'latencyMs' | 'ttftMs'> & { facts?: AnswerFacts },
    response: Buffer | undefined,
  ): void {
    this.ended = true;
    clearTimeout(this.deadline);
    this.stopClocks();
    const closing = this.inference.closing({ ...ending, latencyMs: this.elapsedMs(), ttftMs: this.ttftMs });
    const { replacedBody } = this.inference;
    this.inference.reservation?.settle(closing);
    this.services.spool.close(
      this.spooled!,
      closing,
      replacedBody,
      response && this.inference.kept(response),
    );
    this.closing = true;
  }

  private elapsedMs(): number {
    return performance.now() - this.startedMs;
  }
}

function nowS(): number {
  return Math.floor(Date.now() / 1000);
}
