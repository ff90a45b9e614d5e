import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { v7 } from 'uuid';
import type { Problem } from '#libs/core/content/problems.js';
import { DomainError } from '#libs/core/errors/catalogue.js';
import type { FeedbackEvent, ReceivedFeedback } from '#libs/core/feedback/feedback-event.js';
import { readFeedback } from '#libs/core/feedback/read-feedback.js';
import { STORE_FEEDBACK, storeFeedbackValues } from '#libs/core/feedback/store-feedback.js';
import { runPrepared } from '#libs/platform/database/prepared.js';
import type { Caller } from '../http/caller.js';

export interface AcceptedFeedback {
  readonly accepted: number;
  /** Events that were there already, under their id. */
  readonly duplicates: number;
  /** In the order in which they were given. */
  readonly events: readonly { readonly eventId: string; readonly status: 'accepted' | 'duplicate' }[];
}

/** Takes judgements. They are matched with rows, and decided upon, by followers. */
@Injectable()
export class FeedbackService {
  constructor(private readonly database: DataSource) {}

  /** Stores what a caller sent, see `accept`. @throws DomainError VALIDATION_FAILED. */
  async give(caller: Caller, body: unknown): Promise<AcceptedFeedback> {
    const { events, problems } = readFeedback(body, { nowMs: Date.now(), eventId: v7 });
    if (events) return this.accept(caller, events);
    throw refusalOf('The feedback', problems);
  }

  /**
   * Stores events that `readFeedback` has checked: all of them, each once, or none and it throws. To be called again
   * with the same ids when in doubt. Of an event id that is known the first content stays.
   */
  async accept(
    caller: Pick<Caller, 'workspaceId'>,
    events: readonly FeedbackEvent[],
  ): Promise<AcceptedFeedback> {
    const receivedAt = new Date().toISOString();
    const received = events.map((event): ReceivedFeedback => ({
      ...event,
      id: v7(),
      workspaceId: caller.workspaceId,
      receivedAt,
    }));
    const stored = await runPrepared<{ id: string }>(
      this.database,
      STORE_FEEDBACK,
      storeFeedbackValues(received),
    );
    const isNew = new Set(stored.map(({ id }) => id));
    return {
      accepted: isNew.size,
      duplicates: received.length - isNew.size,
      events: received.map(({ id, eventId }) => ({
        eventId,
        status: isNew.has(id) ? 'accepted' : 'duplicate',
      })),
    };
  }
}

/** @param what is not valid. */
export function refusalOf(what: string, problems: readonly Problem[]): DomainError {
  const said = problems.map(({ path, message }) => `${path || '/'} ${message}`).join('; ');
  return new DomainError('VALIDATION_FAILED', `${what} is not valid: ${said}.`, problems);
}
