import type { Recipient, RecipientListener } from '../chat/recipient.js';
import type { Borrower } from '../dispatch/lent-places.js';

type WhyGone = Recipient['whyGone'];

/** Its place was wanted by a request. */
const GAVE_WAY: WhyGone = {
  code: 'shadow_gave_way',
  message: 'The copy was given up, because a request needed its place at the model endpoint.',
};
/** The gateway stops, and nobody waits for the answer. */
export const STOPPED: WhyGone = {
  code: 'shadow_stopped',
  message: 'The copy was given up, because the gateway stopped.',
};

/** Whom the exchange of a shadow answers: nobody. Its answer is in the row, and goes no further. */
export class ShadowRecipient implements Recipient, Borrower {
  readonly isPaused = false;
  whyGone = GAVE_WAY;
  private listener: RecipientListener | undefined;
  private isGone = false;

  /** @param onFinished called when its row is closed, or there is none. */
  constructor(private readonly onFinished: (recipient: ShadowRecipient) => void) {}

  giveWay(): void {
    this.leave(GAVE_WAY);
  }

  /** Ends the exchange, whose row says why. */
  leave(why: WhyGone): void {
    if (this.isGone) return;
    this.isGone = true;
    this.whyGone = why;
    this.listener?.onRecipientGone();
  }

  watch(listener: RecipientListener): boolean {
    this.listener = listener;
    return !this.isGone;
  }

  written(body: Buffer): Buffer {
    return body;
  }

  finish(): void {
    this.onFinished(this);
  }

  drop(): void {
    this.leave(STOPPED);
    this.finish();
  }

  sendAnswer(): void {}
  sendRefusal(): void {}
  sendError(): void {}
  beginStream(): void {}
  write(): void {}
  endStream(): void {}
}
