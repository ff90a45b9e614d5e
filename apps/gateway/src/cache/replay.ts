import type { ExchangeServices } from '../chat/exchange-services.js';
import { guarded } from '../chat/guarded.js';
import type { Inference } from '../chat/inference.js';
import type { Recipient, RecipientListener, Source } from '../chat/recipient.js';
import { internalError, refusedBySpool } from '../chat/refusals.js';
import type { GatewayError } from '../http/gateway-error.js';
import { DONE, sseOf, type Fields } from '../providers/canonical.js';
import type { ClosingMeta } from '../spool/record.js';
import type { SpooledInference, SpoolListener } from '../spool/spool.js';
import type { KeptAnswer } from './answer-cache.js';
import { chunksOf } from './whole-answer.js';

/** All of it is here already. */
const HERE: Source = { pause: () => undefined, resume: () => undefined };

/** A request that is answered with a kept answer. It has a row like all others, in the same order: opening, closing, answer. */
export class Replay implements SpoolListener, RecipientListener {
  private spooled: SpooledInference | undefined;
  private recipientGone = false;
  private opened = false;
  /** The closing has been given to the spool. */
  private closing = false;
  private failure: GatewayError | undefined;

  constructor(
    private readonly services: ExchangeServices,
    private readonly inference: Inference,
    private readonly kept: KeptAnswer,
    private readonly recipient: Recipient,
    /** `performance.now()` at the arrival of the request. */
    private readonly startedMs: number,
  ) {}

  /** @throws GatewayError 503 when the spool is full. */
  start(): void {
    const { inference, services } = this;
    try {
      this.spooled = inference.open(services.spool, this);
    } catch (error) {
      throw refusedBySpool(error);
    }
    if (!this.recipient.watch(this)) this.recipientGone = true;
  }

  @guarded
  onOpened(error: Error | undefined): void {
    const { inference, recipient, services } = this;
    if (error) {
      inference.reservation?.release();
      const refusal = refusedBySpool(error);
      services.refused.inc({ code: refusal.code });
      if (!this.recipientGone) recipient.sendRefusal(refusal);
      recipient.finish();
      return;
    }
    this.opened = true;
    if (this.recipientGone) this.end('cancelled', recipient.whyGone);
    else this.end('ok');
  }

  @guarded
  onClosed(error: Error | undefined): void {
    const { recipient } = this;
    if (!this.recipientGone) {
      const failure = error ? refusedBySpool(error) : this.failure;
      if (failure) recipient.sendError(failure);
      else this.answer();
    }
    recipient.finish();
  }

  onRecipientGone(): void {
    this.recipientGone = true;
  }

  onCrash(error: unknown): void {
    const { inference, recipient, services } = this;
    services.logger.error({ err: error, id: inference.id }, 'a kept answer could not be given');
    if (this.closing || !this.opened) {
      recipient.drop();
      return;
    }
    this.failure = internalError(inference.id);
    try {
      this.end('error', this.failure);
    } catch (again) {
      services.logger.error({ err: again, id: inference.id }, 'a failed request could not be ended');
      recipient.drop();
    }
  }

  private answer(): void {
    const { recipient, inference } = this;
    const { body } = this.kept;
    const completion = JSON.parse(body.toString('utf8')) as Fields;
    const { streamed, wantsUsage } = inference.request;
    if (!streamed) {
      recipient.sendAnswer(recipient.written(body, completion));
      return;
    }
    const events = chunksOf(completion, wantsUsage).map(sseOf);
    recipient.beginStream();
    recipient.write(events, HERE);
    recipient.endStream(undefined, [sseOf(DONE)]);
  }

  private end(
    status: 'ok' | 'cancelled' | 'error',
    error?: { readonly code: string; readonly message: string },
  ): void {
    const { inference, kept, services } = this;
    const closing = this.closingMeta(status, error);
    const body = status === 'ok' ? inference.kept(kept.body) : undefined;
    services.spool.close(this.spooled!, closing, undefined, body);
    this.closing = true;
    // A request like any other, but nothing was used, and no model endpoint asked.
    inference.reservation?.settle({ ...closing, modelEndpoint: '' });
  }

  private closingMeta(
    status: ClosingMeta['status'],
    error: { readonly code: string; readonly message: string } | undefined,
  ): ClosingMeta {
    const { finishReason, schemaValid } = this.kept;
    const ok = status === 'ok';
    return {
      status,
      errorCode: error?.code ?? null,
      errorMessage: error?.message ?? null,
      modelEndpoint: null,
      model: null,
      replica: null,
      attempts: 0,
      finishReason: ok ? finishReason : null,
      schemaValid: ok ? schemaValid : null,
      inputTokens: 0,
      outputTokens: 0,
      cachedInputTokens: null,
      cacheWriteInputTokens: null,
      reasoningTokens: null,
      contractOutcome: null,
      contractRungs: null,
      costMicroUsd: 0,
      latencyMs: performance.now() - this.startedMs,
      ttftMs: null,
      dispatchedMs: null,
      modelCalls: null,
    };
  }
}
