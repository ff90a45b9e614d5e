import type { Problem } from '../content/problems.js';

/**
 * How an answer came to satisfy its output contract, by the last rung it took, or that it did not: `valid` at once,
 * `repaired` without asking anybody, `reasked`, `fell_back` to another model endpoint because of the contract;
 * `violated`, `truncated` at the output limit before it did; `refused` by the model, which no contract forbids.
 */
export const CONTRACT_OUTCOMES = [
  'valid',
  'repaired',
  'reasked',
  'fell_back',
  'violated',
  'truncated',
  'refused',
] as const;

export type ContractOutcome = (typeof CONTRACT_OUTCOMES)[number];

/** What was done: asked at first, repaired, asked again at the same place, asked at a fallback. */
export const RUNGS = ['ask', 'repair', 'reask', 'fallback'] as const;

/** What came of it. `called_tools`: the answer is a call, which is held against no contract; `failed`: none came. */
export const RUNG_RESULTS = ['valid', 'invalid', 'truncated', 'refused', 'called_tools', 'failed'] as const;

export type Rung = (typeof RUNGS)[number];
export type RungResult = (typeof RUNG_RESULTS)[number];

/** One step for a contract, as a row keeps it. */
export interface ContractRung {
  readonly rung: Rung;
  readonly result: RungResult;
  /** How the schema was asked for; null of a repair, and where it was only held against the answer. */
  readonly by: string | null;
  readonly modelEndpoint: string;
  readonly model: string;
  readonly latencyMs: number;
  readonly inputTokens: number | null;
  readonly outputTokens: number | null;
  readonly costMicroUsd: number | null;
  /** The first of them, where it is `invalid`; left out where payloads are not kept. */
  readonly errors?: readonly Problem[];
  /** Of the failure, where it `failed`. */
  readonly errorCode?: string;
}
