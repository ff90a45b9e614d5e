import type { DataClass } from '#libs/core/clearance/clearance.js';
import { digested, keepsPayloads } from '#libs/core/clearance/payloads.js';
import { costMicroUsd, pricesOf, type ModelPrices, type TokenPrices } from '#libs/core/cost/cost.js';
import type { StructuredOutput } from '#libs/core/contract/structured-output.js';
import { NO_USAGE } from '#libs/core/cost/usage.js';
import type { Generation, RetryPolicy } from '#libs/core/content/types.js';
import type { InferenceStatus } from '#libs/core/inference/inference-row.js';
import type { CallOutcome } from '#libs/core/inference/model-call.js';
import { TemplateError, type ChatMessage } from '#libs/core/template/template.js';
import { ContractRun, type Held } from '../contracts/contract-run.js';
import type { CacheSlot } from '../cache/answer-cache.js';
import type { Caller } from '../callers/caller.js';
import type { GenerationGate } from '../dispatch/attempt-planner.js';
import { affinityKey } from '../dispatch/affinity.js';
import { badRequest, type GatewayError } from '../http/gateway-error.js';
import { maxOutputTokens } from '../limits/demand.js';
import type { Reservation } from '../limits/reservation.js';
import type { Fields } from '../providers/canonical.js';
import type { AnswerFacts } from '../providers/openai/openai-answer.js';
import { canonicalRequest, choicesAsked } from '../providers/openai/openai-request.js';
import type { Provider } from '../providers/provider.js';
import type { ProviderFinder } from '../providers/providers.js';
import type { Assigned } from '../resolve/assign.js';
import type { ServedEndpoint } from '../snapshot/snapshot.js';
import type { ClosingMeta, OpeningMeta } from '../spool/record.js';
import type { Spool, SpooledInference, SpoolListener } from '../spool/spool.js';
import type { ChatRequest } from './chat-request.js';
import type { Form } from './form.js';
import { newInferenceId } from './inference-id.js';
import { ModelCalls } from './model-calls.js';
import { CALLED, type Origin } from './origin.js';
import { identityOf, type ArmIdentity } from './served-arm.js';
import { standIn } from './stand-in.js';

const NO_MESSAGES: readonly ChatMessage[] = [];

/** What went wrong, as a row has it. */
export interface Told {
  readonly code: string;
  readonly message: string;
}

/** How an inference ended. */
export interface Ending {
  readonly status: InferenceStatus;
  readonly error?: Told;
  readonly facts?: AnswerFacts;
  readonly latencyMs: number;
  readonly ttftMs: number | null;
}

/** What is to be known of model endpoints, by name. */
export interface ModelEndpointFinder extends ProviderFinder {
  /** Whether it may see data of this class, as far as is known. */
  mayRun(modelEndpoint: string, dataClass: DataClass): boolean;
  /** How it is asked for JSON by a schema. */
  structuredOutputOf(modelEndpoint: string): StructuredOutput;
}

/**
 * One request through an endpoint. It alone builds what is sent upstream and what the row says, from the same
 * chain version, so that a row cannot name another version than the one that ran.
 */
export class Inference implements GenerationGate {
  readonly opening: OpeningMeta;
  readonly identity: ArmIdentity;
  /** Copies of its request, sent once it is in the spool. */
  copies: { send(): void } | undefined;
  /** Where its answer is to be kept. */
  cacheSlot: CacheSlot | undefined;
  /** Under the limits that hold for it, where there are any. */
  reservation: Reservation | undefined;
  /** Body of the attempt that runs, or ran last. */
  body: Buffer;
  /** Whose words the body is in. */
  provider: Provider;
  /** What it does for the output contract of its chain, where there is one. */
  readonly contract: ContractRun | undefined;
  private readonly keepsPayloads: boolean;
  /** Of its request inside, where that is not the chat completion. */
  readonly form: Form | undefined;
  private readonly messages: readonly ChatMessage[];
  private generationIndex = 0;
  private attempts = 0;
  /** Of the last attempt that went out. */
  private ranIndex = 0;
  /** Whether the body is the one the row was opened with. */
  private bodyIsFirst = true;
  /** Of the last attempt that went out, where it is another. */
  private ranBody: Buffer | undefined;
  private prices: TokenPrices | undefined;
  private replica: string | null = null;
  private dispatchedMs: number | null = null;
  /** From the first call on that was not the last word. */
  private calls: ModelCalls | undefined;

  /** @throws GatewayError 400 where the variables or messages do not fit the prompt. */
  constructor(
    readonly request: ChatRequest,
    private readonly endpoint: ServedEndpoint,
    readonly assigned: Assigned,
    nowMs: number,
    private readonly modelEndpoints: ModelEndpointFinder,
    /** What it carries: see `carriedClass`. */
    readonly dataClass: DataClass,
    caller: Caller,
    private readonly origin: Origin = CALLED,
  ) {
    this.identity = identityOf(endpoint, assigned.arm);
    this.keepsPayloads = keepsPayloads(endpoint.payloads, dataClass);
    this.form = request.ingress.form;
    const { contract } = assigned.arm.chain;
    if (contract) this.contract = new ContractRun(contract, this.keepsPayloads);
    this.messages = this.form ? NO_MESSAGES : this.render();
    this.provider = modelEndpoints.providerOf(this.generation.modelEndpoint);
    this.body = this.build();
    this.opening = {
      id: newInferenceId(nowMs),
      startedAtMs: nowMs,
      served: this.identity.columns,
      unit: request.unit ?? null,
      bucket: assigned.bucket,
      sticky: assigned.sticky,
      assignment: assigned.assignment,
      streamed: request.streamed,
      dataClass,
      apiKey: caller.name,
      team: caller.team,
      shadowOf: origin.shadowOf,
      cacheHit: origin.cacheHit,
      // One name for one request: its copies are not what the caller means.
      clientRequestId: origin.shadowOf === null ? request.clientRequestId : null,
    };
  }

  get id(): string {
    return this.opening.id;
  }

  get workspaceId(): string {
    return this.endpoint.workspaceId;
  }

  /** What the chain runs, or would run next. */
  get generation(): Generation {
    return this.generationAt(this.generationIndex);
  }

  /** Of its conversation; 0 where there is none. */
  get affinityKey(): number {
    return this.form ? 0 : affinityKey(this.messages);
  }

  /** How many choices the body asks for. */
  get choices(): number {
    return choicesAsked(this.generation, this.request.fields);
  }

  /** The longest that a choice may get, in tokens. */
  get maxOutputTokens(): number {
    const { extraBody, parameters } = this.generation;
    return this.form ? 0 : maxOutputTokens(extraBody, parameters, this.request.fields);
  }

  get generations(): number {
    if (this.origin.shadowOf !== null) return 1;
    return 1 + (this.assigned.arm.chain.content.fallbacks?.length ?? 0);
  }

  /** A shadow has one attempt: an outage is not to be multiplied by copies. */
  get retry(): RetryPolicy | undefined {
    return this.origin.shadowOf === null ? this.assigned.arm.chain.content.retry : undefined;
  }

  /** A fallback that may not see the request, or that a limit has no room for, is none: the caller is told what went wrong before it. */
  mayRun(generation: number): boolean {
    const place = this.generationAt(generation);
    return (
      this.modelEndpoints.mayRun(place.modelEndpoint, this.dataClass) &&
      (generation === this.generationIndex || this.reservation?.mayMoveTo(place) !== false)
    );
  }

  /** Spools its opening. @throws SpoolFullError, see `Spool.open`. */
  open(spool: Spool, listener: SpoolListener): SpooledInference {
    const { metadata } = this.request;
    const kept = metadata === null ? undefined : this.kept(Buffer.from(metadata));
    return spool.open(this.opening, this.kept(this.body), kept, listener);
  }

  /** What the row keeps of a body. */
  kept(body: Buffer): Buffer {
    return this.keepsPayloads ? body : Buffer.from(digested(body));
  }

  /** What the row keeps of an answer in a form of its own; where payloads are hashed, all of it is. */
  keptAnswer(body: Buffer, answer: unknown): Buffer {
    return this.form && this.keepsPayloads ? Buffer.from(this.form.keptAnswer(answer as Fields)) : body;
  }

  /** Path and query of the attempt that runs. @param base see `Provider.path`. */
  path(base: string, apiVersion: string): string {
    const { form, provider } = this;
    const { model } = this.generation;
    return form ? form.path(provider, base, model, apiVersion) : provider.path(base, model, apiVersion);
  }

  get attempt(): number {
    return this.attempts;
  }

  /** What the row keeps of the body that ran, where it is not the one the row was opened with. */
  get replacedBody(): Buffer | undefined {
    return this.ranBody && this.kept(this.ranBody);
  }

  /** Goes on to a fallback. */
  fallBackTo(generationIndex: number): void {
    if (generationIndex === this.generationIndex) return;
    this.generationIndex = generationIndex;
    this.reservation?.moveTo(this.generation);
    this.contract?.fallBack();
    if (this.calls) this.calls.next = 'fallback';
    this.provider = this.modelEndpoints.providerOf(this.generation.modelEndpoint);
    this.rebuild();
  }

  /** Holds an answer against the output contract. @param mayRepair whether nothing of it has gone out. */
  hold(facts: AnswerFacts, mayRepair: boolean): Held | undefined {
    const { contract } = this;
    return contract?.hold(facts, this.costOf(facts), this.generation, mayRepair);
  }

  /** An answer that went nowhere is paid all the same. */
  rejected(code: string, facts: AnswerFacts, atMs: number): void {
    const costMicroUsd = this.costOf(facts);
    this.contract!.rejected(facts, costMicroUsd);
    this.reservation?.answered(facts, costMicroUsd);
    this.callEnded('rejected', code, 200, atMs, facts, null);
  }

  /** An attempt has failed. @param httpStatus 0 where no answer began. */
  callFailed(code: string, httpStatus: number, atMs: number): void {
    this.callEnded('failed', code, httpStatus, atMs, undefined, null);
  }

  /** Goes on to ask the same model endpoint again, with what was wrong. @returns false where no limit has room for it. */
  reask(): boolean {
    const { body } = this;
    this.contract!.reask();
    this.calls!.next = 'reask';
    this.rebuild();
    if (this.reservation?.mayAskAgain(this.generation, this.body) !== false) return true;
    this.body = body;
    return false;
  }

  /** An attempt goes out. */
  sent(prices: ModelPrices | undefined, replica: string, atMs: number): void {
    if (this.attempts++ === 0) this.dispatchedMs = atMs;
    else this.calls!.sent(atMs);
    this.ranIndex = this.generationIndex;
    this.ranBody = this.bodyIsFirst ? undefined : this.body;
    this.contract?.sent();
    this.prices = prices && pricesOf(prices, this.generation.model);
    this.replica = replica;
  }

  closing(ending: Ending): ClosingMeta {
    const { facts, error } = ending;
    const { modelEndpoint, model } = this.generationAt(this.ranIndex);
    const { contract } = this;
    contract?.end(error?.code, { modelEndpoint, model });
    const costMicroUsd = facts ? this.costOf(facts) : null;
    if (this.calls && this.calls.count < this.attempts) this.lastCallEnded(ending);
    const { inputTokens, outputTokens, cachedInputTokens, cacheWriteInputTokens, reasoningTokens } = contract
      ? contract.usageWith(facts)
      : (facts ?? NO_USAGE);
    return {
      status: ending.status,
      errorCode: error?.code ?? null,
      // A server's message may repeat what it was sent.
      errorMessage: error && this.keepsPayloads ? error.message : null,
      modelEndpoint,
      model,
      replica: this.replica,
      attempts: this.attempts,
      finishReason: this.keptReason(facts?.finishReason ?? contract?.finishReason ?? null),
      schemaValid: contract ? contract.isSatisfied : null,
      inputTokens,
      outputTokens,
      cachedInputTokens,
      cacheWriteInputTokens,
      reasoningTokens,
      contractOutcome: contract ? contract.outcome : null,
      contractRungs: contract ? contract.rungsText : null,
      costMicroUsd: contract ? contract.costWith(costMicroUsd) : costMicroUsd,
      latencyMs: ending.latencyMs,
      ttftMs: ending.ttftMs,
      dispatchedMs: this.dispatchedMs,
      modelCalls: this.calls ? this.calls.text(error?.code ?? null) : null,
    };
  }

  private lastCallEnded({ status, error, facts, latencyMs, ttftMs }: Ending): void {
    const outcome = status === 'error' ? 'failed' : status;
    this.callEnded(
      outcome,
      error?.code ?? null,
      facts || status === 'ok' ? 200 : 0,
      latencyMs,
      facts,
      ttftMs,
    );
  }

  /** @param ttftMs since the admission, as `atMs`. */
  private callEnded(
    outcome: CallOutcome,
    errorCode: string | null,
    httpStatus: number,
    atMs: number,
    facts: AnswerFacts | undefined,
    ttftMs: number | null,
  ): void {
    const { modelEndpoint, model } = this.generationAt(this.ranIndex);
    this.calls ??= new ModelCalls(this.dispatchedMs!);
    const call = {
      modelEndpoint,
      model,
      replica: this.replica!,
      outcome,
      httpStatus: httpStatus === 0 ? null : httpStatus,
      errorCode,
      inputTokens: facts?.inputTokens ?? null,
      outputTokens: facts?.outputTokens ?? null,
      costMicroUsd: facts ? this.costOf(facts) : null,
      ttftMs,
    };
    this.calls.end(call, atMs);
  }

  /** Of one answer, by the prices of the model endpoint that gave it. */
  private costOf(facts: AnswerFacts): number | null {
    const { inputTokens, outputTokens } = facts;
    return this.prices && inputTokens !== null && outputTokens !== null
      ? costMicroUsd(this.prices, inputTokens, outputTokens, facts)
      : null;
  }

  /** It is the server's word: where payloads are not kept, only what looks like one. */
  private keptReason(reason: string | null): string | null {
    return reason === null || this.keepsPayloads || /^[a-z_]{1,32}$/i.test(reason) ? reason : null;
  }

  private render(): readonly ChatMessage[] {
    try {
      return this.assigned.arm.chain.prompt!.render(this.request.variables, this.request.messages);
    } catch (error) {
      if (error instanceof TemplateError) throw misfit(error);
      throw error;
    }
  }

  private generationAt(index: number): Generation {
    const { content } = this.assigned.arm.chain;
    const first = content.generate ?? content.embed;
    return index === 0 ? first : standIn(content.fallbacks![index - 1]!, first);
  }

  private rebuild(): void {
    this.body = this.build();
    this.bodyIsFirst = false;
  }

  private build(): Buffer {
    if (this.form) return Buffer.from(this.form.writeRequest(this.generation, this.request.fields));
    const { fields, streamed, streamOptions } = this.request;
    const options = streamed ? streamOptions : undefined;
    const { generation, contract } = this;
    let { messages } = this;
    let format: Fields | undefined;
    if (contract) {
      const by = this.modelEndpoints.structuredOutputOf(generation.modelEndpoint);
      messages = contract.messagesFor(by, messages);
      format = contract.fieldsFor(by);
    }
    const request = canonicalRequest(generation, messages, fields, options, format);
    return Buffer.from(this.provider.writeRequest(request));
  }
}

function misfit(error: TemplateError): GatewayError {
  const aboutVariables = error.missing.length > 0 || error.extra.length > 0;
  return badRequest(
    aboutVariables ? 'bad_variables' : 'bad_messages',
    error.message,
    aboutVariables ? 'metadata.variables' : 'messages',
  );
}
