import type { CallStep, ModelCall } from '#libs/core/inference/model-call.js';

/** How a call ended. */
export type EndedCall = Omit<ModelCall, 'step' | 'offsetMs' | 'latencyMs'>;

/** The calls of a request of which the first was not its last word; others have none of this. */
export class ModelCalls {
  private readonly ended: ModelCall[] = [];
  private step: CallStep = 'ask';
  /** Why the next one is made, if there is one. */
  next: CallStep = 'retry';

  /** @param offsetMs of the first call; all times are since the admission of the request. */
  constructor(private offsetMs: number) {}

  sent(offsetMs: number): void {
    this.step = this.next;
    this.next = 'retry';
    this.offsetMs = offsetMs;
  }

  /** @param ttftMs likewise since the admission. */
  end({ ttftMs, ...call }: EndedCall, atMs: number): void {
    const { step, offsetMs } = this;
    const sinceSent = (ms: number): number => rounded(ms - offsetMs);
    this.ended.push({
      step,
      ...call,
      offsetMs: rounded(offsetMs),
      latencyMs: sinceSent(atMs),
      ttftMs: ttftMs === null ? null : sinceSent(ttftMs),
    });
  }

  get count(): number {
    return this.ended.length;
  }

  /** As a row keeps them; null for one call that the row itself describes. @param errorCode of the row. */
  text(errorCode: string | null): string | null {
    const isTold = this.ended.length === 1 && this.ended[0]!.errorCode === errorCode;
    return isTold ? null : JSON.stringify(this.ended);
  }
}

function rounded(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}
