import type { DataClass } from '../clearance/clearance.js';
import type { ContractOutcome } from '../contract/ladder.js';

/** How the arm of an inference was found. */
export type Assignment = 'split' | 'override' | 'random';

/** `interrupted`: the gateway died before the answer was complete; written when the spool is replayed. */
export type InferenceStatus = 'ok' | 'error' | 'cancelled' | 'interrupted';

/** What is known when a request is admitted. Spooled before the request goes upstream. */
export interface InferenceOpening {
  /** UUIDv7; its time is `startedAt`. */
  readonly id: string;
  /** RFC 3339, UTC, milliseconds. */
  readonly startedAt: string;
  readonly workspaceId: string;
  readonly endpoint: string;
  readonly splitRevision: number;
  readonly arm: string;
  readonly chain: string;
  readonly chainVersion: number;
  readonly chainDigest: string;
  readonly unit: string | null;
  readonly bucket: number;
  /** Whether the same unit gets the same arm again: false when it was drawn at random. */
  readonly sticky: boolean;
  readonly assignment: Assignment;
  readonly streamed: boolean;
  /** The caller's `metadata`, as JSON text. */
  readonly metadata: string | null;
  /** What the request carried; null in rows from before there were classes. */
  readonly dataClass: DataClass | null;
  /** Name of the API key it came with; null where none is asked for. */
  readonly apiKey: string | null;
  /** Team of that key. */
  readonly team: string | null;
  /** The inference whose request this one got a copy of; null where a caller asked for it. */
  readonly shadowOf: string | null;
  /** Whether it was answered without a model call; null where the endpoint keeps no answers. */
  readonly cacheHit: boolean | null;
  /** The caller's own name for the request. */
  readonly clientRequestId: string | null;
  /** The body sent to the model endpoint, as sent. */
  readonly request: string;
}

/** What is known when the request has ended. Spooled before the last byte of the answer goes out. */
export interface InferenceClosing {
  readonly status: InferenceStatus;
  readonly errorCode: string | null;
  readonly errorMessage: string | null;
  /** Model endpoint, model and replica of the last attempt; tokens and cost below are those of all that answered. */
  readonly modelEndpoint: string | null;
  readonly model: string | null;
  readonly replica: string | null;
  readonly attempts: number;
  readonly finishReason: string | null;
  /** Whether the answer satisfies the chain's output contract; null without contract or answer. */
  readonly schemaValid: boolean | null;
  /** All of the prompt, tokens read from and written to a cache included. */
  readonly inputTokens: number | null;
  /** All of the completion, reasoning included. */
  readonly outputTokens: number | null;
  /** Of the prompt tokens, those read from the server's cache; null where it does not say. */
  readonly cachedInputTokens: number | null;
  /** Of the prompt tokens, those written to the server's cache. */
  readonly cacheWriteInputTokens: number | null;
  /** Of the completion tokens, those the model thought with. */
  readonly reasoningTokens: number | null;
  /** How the output contract was met, or not; null where nothing was held against one. */
  readonly contractOutcome: ContractOutcome | null;
  /** JSON text of a list of `ContractRung`. */
  readonly contractRungs: string | null;
  readonly costMicroUsd: number | null;
  readonly latencyMs: number | null;
  /** Time to the first content of the answer. */
  readonly ttftMs: number | null;
  /** From admission to the first model call; null without one. */
  readonly dispatchedMs: number | null;
  /** JSON text of a list of `ModelCall`; null where there was one, which the fields above describe. */
  readonly modelCalls: string | null;
  /** The body received; of a stream, the same answer assembled into one chat completion object. */
  readonly response: string | null;
}

/** One row of table `inference` and one of `inference_payload`: of the latter are metadata, request and response. */
export type InferenceRow = InferenceOpening & InferenceClosing;
