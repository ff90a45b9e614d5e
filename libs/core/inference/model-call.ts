/** Why a model endpoint was called: first, again after a failure, again for the output contract, or in place of another. */
export const CALL_STEPS = ['ask', 'retry', 'reask', 'fallback'] as const;
export type CallStep = (typeof CALL_STEPS)[number];

/** `rejected`: answered, with something that the output contract does not let through. */
export const CALL_OUTCOMES = ['ok', 'rejected', 'failed', 'cancelled', 'interrupted'] as const;
export type CallOutcome = (typeof CALL_OUTCOMES)[number];

/** One request to a model endpoint; one of the elements of column `model_calls`. */
export interface ModelCall {
  readonly step: CallStep;
  readonly modelEndpoint: string;
  readonly model: string;
  readonly replica: string;
  readonly outcome: CallOutcome;
  /** Null where no answer began. */
  readonly httpStatus: number | null;
  readonly errorCode: string | null;
  readonly inputTokens: number | null;
  readonly outputTokens: number | null;
  readonly costMicroUsd: number | null;
  /** From the admission of the request to the call. */
  readonly offsetMs: number;
  readonly latencyMs: number;
  /** From the call to the first content. */
  readonly ttftMs: number | null;
}
