import type { DataClass } from '#libs/core/clearance/clearance.js';
import { AttemptPlanner } from '../dispatch/attempt-planner.js';
import type { Lane } from '../dispatch/lane.js';
import type { QueueTicket, ReplicaWaiter } from '../dispatch/replica-lane.js';
import type { Replica, Seat } from '../dispatch/replica.js';
import { UpstreamCall, type UpstreamListener } from '../dispatch/upstream-call.js';
import type { ClockedStream, RunningClocks, StreamClock } from '../dispatch/stream-clocks.js';
import { UpstreamFailure } from '../dispatch/upstream-failure.js';
import type { GatewayError } from '../http/gateway-error.js';
import type { Fields } from '../providers/canonical.js';
import { parseAnswer, readAnswer, type AnswerFacts } from '../providers/openai/openai-answer.js';
import type { SpooledInference, SpoolListener } from '../spool/spool.js';
import type { ExchangeServices } from './exchange-services.js';
import { failed, noAnswer, queueFull, queueTimedOut, silent, tookTooLong, unavailable } from './failures.js';
import { guarded } from './guarded.js';
import type { Ending, Inference, Told } from './inference.js';
import type { Recipient, RecipientListener } from './recipient.js';
import { nowS } from './now.js';
import { internalError, refusedBySpool } from './refusals.js';
import { StreamRelay } from './stream-relay.js';
import { upstreamHeaders } from './upstream-headers.js';

/**
 * One admitted request from its opening to the last byte of its answer. One object with the callbacks of the spool,
 * of the queue and of the upstream, instead of promises and closures per request. The order it keeps:
 * opening in the spool → attempts upstream → closing in the spool → last bytes to the caller.
 */
export class Exchange
  implements SpoolListener, ReplicaWaiter, UpstreamListener, ClockedStream, RecipientListener
{
  private readonly planner: AttemptPlanner;
  private spooled: SpooledInference | undefined;
  private call: UpstreamCall | undefined;
  private ticket: QueueTicket | undefined;
  private lane: Lane | undefined;
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
  private recipientGone = false;

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
    private readonly recipient: Recipient,
    /** `performance.now()` at the arrival of the request. */
    private readonly startedMs: number,
  ) {
    this.planner = new AttemptPlanner(inference.generations, inference.retry, Math.random, inference);
  }

  /** @throws GatewayError 503 when the spool is full. */
  start(): void {
    const { inference, services } = this;
    try {
      this.spooled = inference.open(services.spool, this);
    } catch (error) {
      throw refusedBySpool(error);
    }
    if (!this.recipient.watch(this)) this.recipientGone = true;
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
      if (!this.recipientGone) this.recipient.sendRefusal(refusal);
      this.recipient.finish();
      return;
    }
    this.opened = true;
    if (this.recipientGone) this.cancel();
    else if (this.expired) this.onDeadline();
    else {
      this.attempt();
      this.inference.copies?.send();
    }
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
    const { form, provider, request } = this.inference;
    const completion = provider.readAnswer && !form ? provider.readAnswer(parsed, nowS()) : parsed;
    const facts = form ? form.readAnswer(completion, request) : readAnswer(completion);
    if (facts) {
      this.lane!.succeeded(this.lastReplica!, this.seat);
      const held = this.inference.hold(facts, true);
      if (held?.violation) {
        this.keepBack(held.violation, facts, body);
        return;
      }
      const given = held?.repaired ? { ...(completion as Fields), choices: held.repaired } : completion;
      const kept = given === parsed ? body : Buffer.from(JSON.stringify(given));
      this.answer = this.recipient.written(kept, given);
      this.end({ status: 'ok', facts }, form ? this.inference.keptAnswer(kept, given) : kept);
      return;
    }
    this.onFailure(noAnswer(body, parsed, this.lastReplica!.baseUrl, form?.answer));
  }

  @guarded
  onEvents(events: readonly Buffer[]): void {
    if (this.ended) return;
    const relay = this.relay!;
    const ready = relay.take(events);
    if (ready) {
      if (!this.committed) this.commit();
      this.recipient.write(ready, this.call!);
    }
    if (relay.failure) {
      this.call!.abort();
      this.onFailure(relay.failure);
    } else if (relay.isComplete) this.completeStream();
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
    return this.recipient.isPaused || !this.call!.isSent;
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
  onFailure(told: UpstreamFailure): void {
    if (this.ended) return;
    this.stopClocks();
    if (this.call) {
      this.lane!.failed(this.call.replica, this.seat, told);
      this.inference.callFailed(told.code, this.call.status, this.elapsedMs());
    }
    const { contract } = this.inference;
    const failure = contract && this.call ? contract.failed(told, this.inference.generation) : told;
    if (this.committed) {
      this.fail(failure);
      return;
    }
    const remainingMs = this.services.totalTimeoutMs - this.elapsedMs();
    const next = this.planner.next(failed(failure, remainingMs, this.lane?.retryBudget));
    if (this.planner.lacksBudget) this.retryDenied();
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
    if (!this.recipientGone) {
      const failure = error ? refusedBySpool(error) : this.failure;
      if (this.committed || (this.relay && !failure)) this.recipient.endStream(failure, this.relay!.held);
      else if (failure) this.recipient.sendError(failure);
      else this.recipient.sendAnswer(this.answer!);
    }
    this.recipient.finish();
  }

  /** The gateway itself is at fault. The row is closed without the answer, for that may be what could not be handled. */
  onCrash(error: unknown): void {
    const { recipient, services } = this;
    services.logger.error({ err: error, id: this.inference.id }, 'a request failed inside the gateway');
    try {
      this.leaveQueue();
      this.call?.abort();
      // Nobody watches over it any more. Before the opening is in the spool, onOpened sees that the caller is gone.
      if (this.closing || !this.opened) {
        recipient.drop();
        return;
      }
      this.failure = internalError(this.inference.id);
      this.end({ status: 'error', error: this.failure }, undefined);
    } catch (again) {
      services.logger.error({ err: again, id: this.inference.id }, 'a failed request could not be ended');
      recipient.drop();
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
  private send(lane: Lane, replica: Replica): void {
    const { inference } = this;
    const { streamed, wantsUsage } = inference.request;
    this.lastReplica = replica;
    this.call = new UpstreamCall(lane, replica, this.seat, streamed, this);
    inference.sent(lane.prices, replica.baseUrl, this.elapsedMs());
    if (streamed) {
      this.relay = new StreamRelay(
        replica.baseUrl,
        inference.choices,
        wantsUsage,
        inference.provider.openStream?.(nowS()),
      );
      this.clocks = this.services.clocks.start(this);
    }
    const path = inference.path(replica.path, lane.apiVersion);
    this.call.start(path, upstreamHeaders(inference, lane), inference.body);
  }

  private commit(): void {
    this.committed = true;
    this.ttftMs = this.elapsedMs();
    this.lane!.began(this.lastReplica!, this.seat);
    this.recipient.beginStream();
  }

  private completeStream(): void {
    this.call!.complete();
    this.lane!.succeeded(this.lastReplica!, this.seat);
    const { text, facts } = this.relay!.answer.assemble();
    const violation = this.inference.hold(facts, false)?.violation;
    if (violation && !this.committed) {
      this.keepBack(violation, facts, Buffer.from(text));
      return;
    }
    this.failure = violation?.toError(this.inference.generation.modelEndpoint, undefined);
    const told = violation && { error: violation };
    this.end({ status: violation ? 'error' : 'ok', ...told, facts }, Buffer.from(text));
  }

  /** An answer that the output contract does not let through, before any of it has gone out: asks again, or fails. */
  private keepBack(violation: UpstreamFailure, facts: AnswerFacts, body: Buffer): void {
    this.stopClocks();
    this.call = undefined;
    this.relay = undefined;
    this.lastReplica = undefined; // none to avoid: it holds the conversation
    this.inference.rejected(violation.code, facts, this.elapsedMs());
    const mayReask = this.inference.contract!.mayReask && this.elapsedMs() < this.services.totalTimeoutMs;
    const hasBudget = mayReask && (this.lane!.retryBudget.take() || this.retryDenied());
    if (hasBudget && this.inference.reask()) this.attempt();
    else this.onFailure(new UpstreamFailure(violation.code, violation.message, { body }));
  }

  private retryDenied(): false {
    this.services.retriesDenied.inc({ model_endpoint: this.inference.generation.modelEndpoint });
    return false;
  }

  private fail(failure: UpstreamFailure): void {
    this.call?.abort();
    const { modelEndpoint } = this.inference.generation;
    this.failure = failure.toError(modelEndpoint, this.lastReplica?.baseUrl);
    this.endPartial('error', failure, failure.details.body);
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

  @guarded
  onRecipientGone(): void {
    this.recipientGone = true;
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
    this.endPartial('cancelled', this.recipient.whyGone, undefined);
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
  private endPartial(status: 'error' | 'cancelled', error: Told, body: Buffer | undefined): void {
    const partial = this.relay?.partial(this.inference.body.length);
    if (partial) this.end({ status, error, facts: partial.facts }, Buffer.from(partial.text));
    else this.end({ status, error }, body);
  }

  private end(ending: Omit<Ending, 'latencyMs' | 'ttftMs'>, response: Buffer | undefined): void {
    this.ended = true;
    clearTimeout(this.deadline);
    this.stopClocks();
    const closing = this.inference.closing({ ...ending, latencyMs: this.elapsedMs(), ttftMs: this.ttftMs });
    const { replacedBody, cacheSlot } = this.inference;
    if (cacheSlot && response) cacheSlot.keep(closing, response);
    this.inference.reservation?.settle(closing);
    const kept = response && this.inference.kept(response);
    this.services.spool.close(this.spooled!, closing, replacedBody, kept);
    this.closing = true;
  }

  private elapsedMs(): number {
    return performance.now() - this.startedMs;
  }
}
