import { NO_USAGE, type TokenUsage } from '#libs/core/cost/usage.js';
import type { ContractOutcome, ContractRung, Rung, RungResult } from '#libs/core/contract/ladder.js';
import type { StructuredOutput } from '#libs/core/contract/structured-output.js';
import { complaintAbout, listed, quoted } from '#libs/core/contract/words.js';
import type { ChatMessage } from '#libs/core/template/template.js';
import { UpstreamFailure } from '../dispatch/upstream-failure.js';
import type { Fields } from '../providers/canonical.js';
import type { AnswerFacts } from '../providers/openai/openai-answer.js';
import { judge, type Judgement } from './judge.js';
import type { ServedContract } from './served-contract.js';

/** Problems that a rung keeps, and that a caller is told. */
const MAX_KEPT = 5;
const MAX_TOLD = 3;

/** Where an attempt went. */
export interface AskedPlace {
  readonly modelEndpoint: string;
  readonly model: string;
}

/** An answer, held against the contract. */
export interface Held {
  /** Why it may not go out. */
  readonly violation?: UpstreamFailure;
  /** What goes out in place of its choices. */
  readonly repaired?: readonly Fields[];
}

/** What one request does for its output contract: which rung it is on, and what those before it used. */
export class ContractRun {
  private readonly rungs: ContractRung[] = [];
  private kind: Extract<Rung, 'ask' | 'reask' | 'fallback'> = 'ask';
  private by: StructuredOutput = 'response_format';
  /** At the model endpoint that is asked now. */
  private reasks = 0;
  private correction: readonly ChatMessage[] = [];
  private last: Judgement | undefined;
  private violation: UpstreamFailure | undefined;
  private hasReasked = false;
  private hasFallenBack = false;
  private hasRepaired = false;
  private spent = NO_USAGE;
  private spentMicroUsd: number | null = null;
  private sentAtMs = 0;
  /** An attempt is under way, of which nothing is among the rungs. */
  private isAsking = false;
  /** Of the answer to the attempt that went out last. */
  finishReason: string | null = null;

  constructor(
    private readonly contract: ServedContract,
    private readonly keepsPayloads: boolean,
  ) {}

  /** What asks for it at a model endpoint that is asked this way. */
  fieldsFor(by: StructuredOutput): Fields {
    this.by = by;
    return this.contract.fieldsFor(by);
  }

  messagesFor(by: StructuredOutput, messages: readonly ChatMessage[]): readonly ChatMessage[] {
    const asking = this.contract.messagesFor(by, messages);
    return this.correction.length === 0 ? asking : [...asking, ...this.correction];
  }

  sent(): void {
    this.finishReason = null;
    this.sentAtMs = performance.now();
    this.isAsking = true;
  }

  /** An attempt has been answered. @param mayRepair whether nothing of the answer has gone out. */
  hold(facts: AnswerFacts, costMicroUsd: number | null, place: AskedPlace, mayRepair: boolean): Held {
    const answeredMs = performance.now();
    const held = judge(facts.choices, this.contract.check, mayRepair && this.contract.repairs);
    this.last = held;
    const { inputTokens, outputTokens } = facts;
    this.finishReason = facts.finishReason;
    const used = { inputTokens, outputTokens, costMicroUsd };
    this.add(
      this.kind,
      held.repaired ? 'invalid' : held.result,
      place,
      answeredMs - this.sentAtMs,
      used,
      held,
    );
    if (held.repaired) {
      this.hasRepaired = true;
      this.add('repair', 'valid', place, performance.now() - answeredMs, NOTHING_USED, undefined);
      return { repaired: held.repaired };
    }
    if (!this.contract.isEnforced || (held.result !== 'invalid' && held.result !== 'truncated')) return {};
    this.violation = violationOf(held, place.modelEndpoint);
    return { violation: this.violation };
  }

  /** An attempt has failed. @returns what the request fails with, if nothing comes after it. */
  failed(failure: UpstreamFailure, place: AskedPlace): UpstreamFailure {
    const { code } = failure;
    this.add(this.kind, 'failed', place, performance.now() - this.sentAtMs, NOTHING_USED, undefined, code);
    // What the caller sent was taken before; what is refused now is what the gateway has added.
    return this.kind === 'reask' && code === 'upstream_refused_request' ? this.violation! : failure;
  }

  /** The request ends; where an attempt was under way, it came to nothing. */
  end(errorCode: string | undefined, place: AskedPlace): void {
    if (!this.isAsking || errorCode === undefined) return;
    const latencyMs = performance.now() - this.sentAtMs;
    this.add(this.kind, 'failed', place, latencyMs, NOTHING_USED, undefined, errorCode);
  }

  /** The answer held last goes nowhere; what it used is paid all the same. */
  rejected(usage: TokenUsage, costMicroUsd: number | null): void {
    this.spent = sumOf(this.spent, usage);
    this.spentMicroUsd = sum(this.spentMicroUsd, costMicroUsd);
  }

  /** Whether the same model endpoint may be told what was wrong. What was cut off would be cut off again. */
  get mayReask(): boolean {
    return this.reasks < this.contract.maxReasks && this.last?.result === 'invalid';
  }

  reask(): void {
    const { given, problems } = this.last!;
    this.reasks++;
    this.hasReasked = true;
    this.kind = 'reask';
    const complaint: ChatMessage = { role: 'user', content: complaintAbout(problems) };
    this.correction = given === '' ? [complaint] : [{ role: 'assistant', content: quoted(given) }, complaint];
  }

  /** Another model endpoint is asked next, and begins anew. */
  fallBack(): void {
    this.hasFallenBack ||= this.violation !== undefined;
    this.kind = 'fallback';
    this.reasks = 0;
    this.correction = [];
  }

  /** With what the answers used that went nowhere. */
  usageWith(usage: TokenUsage | undefined): TokenUsage {
    return usage ? sumOf(this.spent, usage) : this.spent;
  }

  costWith(costMicroUsd: number | null): number | null {
    return sum(this.spentMicroUsd, costMicroUsd);
  }

  /** Whether what the caller got satisfies it; null where nothing was held against it. */
  get isSatisfied(): boolean | null {
    const result = this.last?.result;
    if (result === 'valid') return true;
    return result === 'invalid' || result === 'truncated' ? false : null;
  }

  get outcome(): ContractOutcome | null {
    switch (this.last?.result) {
      case 'valid':
        if (this.hasFallenBack) return 'fell_back';
        if (this.hasReasked) return 'reasked';
        return this.hasRepaired ? 'repaired' : 'valid';
      case 'invalid':
        return 'violated';
      case 'truncated':
        return 'truncated';
      case 'refused':
        return 'refused';
      case 'called_tools':
      case undefined:
      default:
        return null;
    }
  }

  /** As a row keeps it: JSON that PostgreSQL takes. */
  get rungsText(): string | null {
    return this.rungs.length === 0 ? null : JSON.stringify(this.rungs, storable);
  }

  private add(
    rung: Rung,
    result: RungResult,
    { modelEndpoint, model }: AskedPlace,
    latencyMs: number,
    used: typeof NOTHING_USED,
    held: Judgement | undefined,
    errorCode?: string,
  ): void {
    this.isAsking = false;
    const problems = this.keepsPayloads && held ? held.problems.slice(0, MAX_KEPT) : [];
    this.rungs.push({
      rung,
      result,
      by: rung === 'repair' || !this.contract.isEnforced ? null : this.by,
      modelEndpoint,
      model,
      latencyMs: Math.round(latencyMs * 100) / 100,
      ...used,
      ...(problems.length > 0 && { errors: problems }),
      ...(errorCode !== undefined && { errorCode }),
    });
  }
}

const NOTHING_USED: { inputTokens: number | null; outputTokens: number | null; costMicroUsd: number | null } =
  {
    inputTokens: null,
    outputTokens: null,
    costMicroUsd: null,
  };

function violationOf({ result, problems }: Judgement, modelEndpoint: string): UpstreamFailure {
  const said = listed(problems.slice(0, MAX_TOLD));
  return result === 'truncated'
    ? new UpstreamFailure(
        'output_truncated',
        `The answer of "${modelEndpoint}" reached its output limit before it satisfied the output contract: ${said}. Allow more tokens.`,
      )
    : new UpstreamFailure(
        'output_contract_violated',
        `"${modelEndpoint}" gave no answer that satisfies the output contract: ${said}.`,
      );
}

function sumOf(a: TokenUsage, b: TokenUsage): TokenUsage {
  return {
    inputTokens: sum(a.inputTokens, b.inputTokens),
    outputTokens: sum(a.outputTokens, b.outputTokens),
    cachedInputTokens: sum(a.cachedInputTokens, b.cachedInputTokens),
    cacheWriteInputTokens: sum(a.cacheWriteInputTokens, b.cacheWriteInputTokens),
    reasoningTokens: sum(a.reasoningTokens, b.reasoningTokens),
  };
}

/** Of what is known. */
function sum(a: number | null, b: number | null): number | null {
  return a === null ? b : b === null ? a : a + b;
}

function storable(_: string, value: unknown): unknown {
  return typeof value === 'string' ? value.toWellFormed().replaceAll('\0', '\uFFFD') : value;
}
