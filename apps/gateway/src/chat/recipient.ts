import type { GatewayError } from '../http/gateway-error.js';

/** What can be held back while the recipient reads more slowly. */
export interface Source {
  pause(): void;
  resume(): void;
}

/** Who is told that the recipient has left before it had all of its answer. */
export interface RecipientListener {
  onRecipientGone(): void;
}

/** Whom an exchange answers: a caller, or nobody, as with a shadow. */
export interface Recipient {
  /** Nothing is to be written for now. */
  readonly isPaused: boolean;
  /** What the row says of one that has left. */
  readonly whyGone: { readonly code: string; readonly message: string };
  /** @returns whether it is there; from then on the listener hears of its leaving. */
  watch(listener: RecipientListener): boolean;
  /** A chat completion as the recipient wants it. @param body its bytes. */
  written(body: Buffer, completion: unknown): Buffer;
  /** An answer in one piece. */
  sendAnswer(body: Buffer): void;
  /** Of a request that has no row, so that there is none to name. */
  sendRefusal(error: GatewayError): void;
  sendError(error: GatewayError): void;
  beginStream(): void;
  write(events: readonly Buffer[], source: Source): void;
  /** An error after the first content is an event of its own, and no `[DONE]` follows it. */
  endStream(failure: GatewayError | undefined, held: readonly Buffer[]): void;
  /** The row is closed, and all that it gets has been written. */
  finish(): void;
  /** Cut off, without another word. */
  drop(): void;
}
