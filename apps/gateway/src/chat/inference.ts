import type { DataClass } from '#libs/core/clearance/clearance.js';
import { digested, keepsPayloads } from '#libs/core/clearance/payloads.js';
import { costMicroUsd, pricesOf, type ModelPrices, type TokenPrices } from '#libs/core/cost/cost.js';
import { NO_USAGE } from '#libs/core/cost/usage.js';
import type { Generation } from '#libs/core/content/types.js';
import type { InferenceStatus } from '#libs/core/inference/inference-row.js';
import { TemplateError, type ChatMessage } from '#libs/core/template/template.js';
import type { Caller } from '../callers/caller.js';
import type { GenerationGate } from '../dispatch/attempt-planner.js';
import { affinityKey } from '../dispatch/affinity.js';
import { badRequest, type GatewayError } from '../http/gateway-error.js';
import type { Reservation } from '../limits/reservation.js';
import { satisfies, type AnswerFacts } from '../providers/openai/openai-answer.js';
import { canonicalRequest, choicesAsked } from '../providers/openai/openai-request.js';
import type { Provider } from '../providers/provider.js';
import type { ProviderFinder } from '../providers/providers.js';
import type { Assigned } from '../resolve/assign.js';
import type { ServedEndpoint } from '../snapshot/snapshot.js';
import type { ClosingMeta, OpeningMeta } from '../spool/record.js';
import type { ChatRequest } from './chat-request.js';
import { newInferenceId } from './inference-id.js';
import { identityOf, type ArmIdentity } from './served-arm.js';
import { standIn } from './stand-in.js';

/** How an inference ended. */
export interface Ending {
  readonly status: InferenceStatus;
  readonly error?: { readonly code: string; readonly message: string };
  readonly facts?: AnswerFacts;
  readonly latencyMs: number;
  readonly ttftMs: number | null;
}

/** What is to be known of model endpoints, by name. */
export interface ModelEndpointFinder extends ProviderFinder {
  /** Whether it may see data of this class, as far as is known. */
  mayRun(modelEndpoint: string, dataClass: DataClass): boolean;
}

/**
 * One request through an endpoint. It alone builds what is sent upstream and what the row says, from the same
 * chain version, so that a row cannot name another version than the one that ran.
 */
export class Inference implements GenerationGate {
  readonly opening: OpeningMeta;
  readonly identity: ArmIdentity;
  /** Under the limits that hold for it, where there are any. */
  reservation: Reservation | undefined;
  /** Body of the attempt that runs, or ran last. */
  body: Buffer;
  /** Whose words the body is in. */
  provider: Provider;
  private readonly keepsPayloads: boolean;
  private readonly messages: readonly ChatMessage[];
  private generationIndex = 0;
  private attempts = 0;
  /** Of the last attempt that went out. */
  private ranIndex = 0;
  private ranBody: Buffer | undefined;
  private prices: TokenPrices | undefined;
  private replica: string | null = null;

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
  ) {
    this.identity = identityOf(endpoint, assigned.arm);
    this.keepsPayloads = keepsPayloads(endpoint.payloads, dataClass);
    this.messages = this.render();
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
      metadata: request.metadata === null ? null : this.keptText(request.metadata),
      dataClass,
      apiKey: caller.name,
      team: caller.team,
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

  /** Of its conversation. */
  get affinityKey(): number {
    return affinityKey(this.messages);
  }

  /** How many choices the body asks for. */
  get choices(): number {
    return choicesAsked(this.generation, this.request.fields);
  }

  get generations(): number {
    return 1 + (this.assigned.arm.chain.content.fallbacks?.length ?? 0);
  }

  /** A fallback that may not see the request, or that a limit has no room for, is none: the caller is told what went wrong before it. */
  mayRun(generation: number): boolean {
    const place = this.generationAt(generation);
    return (
      this.modelEndpoints.mayRun(place.modelEndpoint, this.dataClass) &&
      (generation === this.generationIndex || this.reservation?.mayMoveTo(place) !== false)
    );
  }

  /** What the row keeps of a body. */
  kept(body: Buffer): Buffer {
    return this.keepsPayloads ? body : Buffer.from(digested(body));
  }

  get attempt(): number {
    return this.attempts;
  }

  /** What the row keeps of the body that ran, where it is not the one the row was opened with. */
  get replacedBody(): Buffer | undefined {
    return this.ranIndex === 0 || !this.ranBody ? undefined : this.kept(this.ranBody);
  }

  /** Goes on to a fallback. */
  fallBackTo(generationIndex: number): void {
    if (generationIndex === this.generationIndex) return;
    this.generationIndex = generationIndex;
    this.reservation?.moveTo(this.generation);
    this.provider = this.modelEndpoints.providerOf(this.generation.modelEndpoint);
    this.body = this.build();
  }

  /** An attempt goes out. */
  sent(prices: ModelPrices | undefined, replica: string): void {
    this.attempts++;
    this.ranIndex = this.generationIndex;
    this.ranBody = this.body;
    this.prices = prices && pricesOf(prices, this.generation.model);
    this.replica = replica;
  }

  closing(ending: Ending): ClosingMeta {
    const { facts, error } = ending;
    const { modelEndpoint, model } = this.generationAt(this.ranIndex);
    const { inputTokens, outputTokens, cachedInputTokens, cacheWriteInputTokens, reasoningTokens } =
      facts ?? NO_USAGE;
    return {
      status: ending.status,
      errorCode: error?.code ?? null,
      // A server's message may repeat what it was sent.
      errorMessage: error && this.keepsPayloads ? error.message : null,
      modelEndpoint,
      model,
      replica: this.replica,
      attempts: this.attempts,
      finishReason: this.keptReason(facts?.finishReason ?? null),
      schemaValid:
        facts && ending.status === 'ok'
          ? satisfies(facts.choices, this.assigned.arm.chain.validateOutput)
          : null,
      inputTokens,
      outputTokens,
      cachedInputTokens,
      cacheWriteInputTokens,
      reasoningTokens,
      costMicroUsd:
        this.prices && inputTokens !== null && outputTokens !== null
          ? costMicroUsd(this.prices, inputTokens, outputTokens, facts)
          : null,
      latencyMs: ending.latencyMs,
      ttftMs: ending.ttftMs,
    };
  }

  /** It is the server's word: where payloads are not kept, only what looks like one. */
  private keptReason(reason: string | null): string | null {
    return reason === null || this.keepsPayloads || /^[a-z_]{1,32}$/i.test(reason) ? reason : null;
  }

  private keptText(text: string): string {
    return this.keepsPayloads ? text : digested(Buffer.from(text));
  }

  private render(): readonly ChatMessage[] {
    try {
      return this.assigned.arm.chain.prompt.render(this.request.variables, this.request.messages);
    } catch (error) {
      if (error instanceof TemplateError) throw misfit(error);
      throw error;
    }
  }

  private generationAt(index: number): Generation {
    const { generate, fallbacks } = this.assigned.arm.chain.content;
    return index === 0 ? generate : standIn(fallbacks![index - 1]!, generate);
  }

  private build(): Buffer {
    const { fields, streamed, streamOptions } = this.request;
    const options = streamed ? streamOptions : undefined;
    const { content } = this.assigned.arm.chain;
    const request = canonicalRequest(content, this.generation, this.messages, fields, options);
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
