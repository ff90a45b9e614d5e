import { costMicroUsd, type TokenPrices } from '#libs/core/cost/cost.js';
import type { Generation } from '#libs/core/content/types.js';
import type { InferenceStatus } from '#libs/core/inference/inference-row.js';
import { TemplateError, type ChatMessage } from '#libs/core/template/template.js';
import { badRequest, type GatewayError } from '../http/gateway-error.js';
import { satisfies, type AnswerFacts } from '../providers/openai/openai-answer.js';
import { choicesAsked, upstreamBody } from '../providers/openai/openai-request.js';
import type { Assigned } from '../resolve/assign.js';
import type { ServedEndpoint } from '../snapshot/snapshot.js';
import type { ClosingMeta, OpeningMeta } from '../spool/record.js';
import type { ChatRequest } from './chat-request.js';
import { newInferenceId } from './inference-id.js';
import { identityOf, type ArmIdentity } from './served-arm.js';

/** How an inference ended. */
export interface Ending {
  readonly status: InferenceStatus;
  readonly error?: { readonly code: string; readonly message: string };
  readonly facts?: AnswerFacts;
  readonly latencyMs: number;
  readonly ttftMs: number | null;
}

/**
 * One request through an endpoint. It alone builds what is sent upstream and what the row says, from the same
 * chain version, so that a row cannot name another version than the one that ran.
 */
export class Inference {
  readonly opening: OpeningMeta;
  readonly identity: ArmIdentity;
  /** Body of the attempt that runs, or ran last. */
  body: Buffer;
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
    endpoint: ServedEndpoint,
    readonly assigned: Assigned,
    nowMs: number,
  ) {
    this.identity = identityOf(endpoint, assigned.arm);
    this.messages = this.render();
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
      metadata: request.metadata,
    };
  }

  get id(): string {
    return this.opening.id;
  }

  /** What the chain runs, or would run next. */
  get generation(): Generation {
    return this.generationAt(this.generationIndex);
  }

  /** How many choices the body asks for. */
  get choices(): number {
    return choicesAsked(this.generation, this.request.fields);
  }

  get generations(): number {
    return 1 + (this.assigned.arm.chain.content.fallbacks?.length ?? 0);
  }

  get attempt(): number {
    return this.attempts;
  }

  /** The body that ran, where it is not the one the row was opened with. */
  get replacedBody(): Buffer | undefined {
    return this.ranIndex === 0 ? undefined : this.ranBody;
  }

  /** Goes on to a fallback. */
  fallBackTo(generationIndex: number): void {
    if (generationIndex === this.generationIndex) return;
    this.generationIndex = generationIndex;
    this.body = this.build();
  }

  /** An attempt goes out. */
  sent(prices: TokenPrices | undefined, replica: string): void {
    this.attempts++;
    this.ranIndex = this.generationIndex;
    this.ranBody = this.body;
    this.prices = prices;
    this.replica = replica;
  }

  closing(ending: Ending): ClosingMeta {
    const { facts, error } = ending;
    const { modelEndpoint, model } = this.generationAt(this.ranIndex);
    const inputTokens = facts?.inputTokens ?? null;
    const outputTokens = facts?.outputTokens ?? null;
    return {
      status: ending.status,
      errorCode: error?.code ?? null,
      errorMessage: error?.message ?? null,
      modelEndpoint,
      model,
      replica: this.replica,
      attempts: this.attempts,
      finishReason: facts?.finishReason ?? null,
      schemaValid:
        facts && ending.status === 'ok'
          ? satisfies(facts.choices, this.assigned.arm.chain.validateOutput)
          : null,
      inputTokens,
      outputTokens,
      costMicroUsd:
        this.prices && inputTokens !== null && outputTokens !== null
          ? costMicroUsd(this.prices, inputTokens, outputTokens)
          : null,
      latencyMs: ending.latencyMs,
      ttftMs: ending.ttftMs,
    };
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
    return index === 0 ? generate : fallbacks![index - 1]!;
  }

  private build(): Buffer {
    const { fields, streamed, streamOptions } = this.request;
    const options = streamed ? streamOptions : undefined;
    const { content } = this.assigned.arm.chain;
    return Buffer.from(upstreamBody(content, this.generation, this.messages, fields, options));
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
