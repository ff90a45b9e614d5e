import type { Json } from '../canonical/canonical.js';
import type { PromptContent } from '../template/template.js';

/** A reference that names one version for ever. */
export interface PinnedReference {
  readonly name: string;
  readonly version: number;
  readonly digest: string;
}

/** As a caller may write it: `name@alias`, `name@number`, or already pinned. */
export type Reference = string | PinnedReference;

export interface Generation<R = PinnedReference> {
  readonly modelEndpoint: string;
  readonly model: string;
  readonly registeredModel?: R;
  readonly parameters?: { readonly [name: string]: Json };
  readonly extraBody?: { readonly [name: string]: Json };
}

export interface Step {
  readonly name: string;
  readonly type: string;
  readonly config?: { readonly [name: string]: Json };
}

export interface OutputContract {
  readonly name?: string;
  readonly schema: { readonly [keyword: string]: Json };
  /** false: the model endpoint is asked for nothing, and the answer goes out whatever it is; the row says whether it satisfies. */
  readonly strict?: boolean;
  /** Whether broken JSON is mended without asking the model again. */
  readonly repair?: boolean;
  /** How often each model endpoint is told what was wrong with its answer. */
  readonly maxReasks?: number;
}

export interface RetryPolicy {
  readonly maxAttempts: number;
  readonly initialBackoffMs?: number;
  readonly maxBackoffMs?: number;
}

/** What a chain does: generate from a prompt, or embed what it is given. */
export type Task = 'generate' | 'embed';

/** A chain that generates. `R` is `PinnedReference` once registered. */
export interface GeneratingChain<R = PinnedReference> {
  readonly prompt: R;
  readonly generate: Generation<R>;
  readonly embed?: undefined;
  readonly fallbacks?: readonly Generation<R>[];
  readonly output?: OutputContract;
  readonly retry?: RetryPolicy;
  readonly steps?: { readonly before?: readonly Step[]; readonly after?: readonly Step[] };
}

/** A chain that embeds: without a prompt, for nothing is said to the model but the text itself. */
export interface EmbeddingChain<R = PinnedReference> {
  readonly embed: Generation<R>;
  readonly prompt?: undefined;
  readonly generate?: undefined;
  readonly fallbacks?: readonly Generation<R>[];
  readonly output?: undefined;
  readonly retry?: RetryPolicy;
  readonly steps?: undefined;
}

/** Content of a chain version. */
export type ChainContent<R = PinnedReference> = GeneratingChain<R> | EmbeddingChain<R>;

/** A template of MLflow's that chains cannot render: what MLflow keeps in `mlflow.prompt.text`, as it was. */
export interface MlflowPrompt {
  readonly type: 'mlflow';
  readonly form: 'text' | 'chat';
  readonly text: string;
}

export type StoredPrompt = PromptContent | MlflowPrompt;

export interface MlflowModel {
  readonly format: 'mlflow';
  readonly source: string;
  readonly runId?: string;
  readonly runLink?: string;
  readonly modelId?: string;
}

export interface ServedModel {
  readonly format: 'hosted' | 'weights' | 'lora';
  readonly model: string;
  readonly baseModel?: string;
  readonly source?: string;
  readonly task?: string;
  readonly metadata?: { readonly [name: string]: Json };
}

export type ModelContent = ServedModel | MlflowModel;

export interface ContentByKind {
  prompt: StoredPrompt;
  model: ModelContent;
  chain: ChainContent;
}
