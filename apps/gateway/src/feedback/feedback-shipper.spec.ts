import { describe, expect, it, vi } from 'vitest';
import type { ReceivedFeedback } from '#libs/core/feedback/feedback-event.js';
import { createLogger } from '#libs/platform/log/logger.js';
import { FeedbackShipper } from './feedback-shipper.js';
import type { FeedbackMetrics } from './feedback.metrics.js';
import type { FeedbackSpool } from './feedback-spool.js';

const MIB = 2 ** 20;

describe('the shipper of feedback', () => {
  it('sends what a single request brought in statements of a bounded size', async () => {
    const textValue = 'x'.repeat(MIB / 4);
    const events = Array.from(
      { length: 200 },
      (_, i) => ({ eventId: String(i), textValue }) as ReceivedFeedback,
    );
    const records = [[{ events }]];
    const settle = vi.fn();
    const spool = { read: () => Promise.resolve(records.pop() ?? []), settle };
    const statements: string[][] = [];
    const database = {
      query: ({ values }: { values: unknown[] }) => {
        statements.push(values[2] as string[]);
        return Promise.resolve();
      },
    };
    const metric = { inc: vi.fn() };
    const shipper = new FeedbackShipper(
      spool as unknown as FeedbackSpool,
      database,
      '/nowhere',
      { shipped: metric, failures: metric, quarantined: metric } as unknown as FeedbackMetrics,
      createLogger('test', 'silent'),
    );
    await shipper.stop(1000);
    expect(statements.flat()).toEqual(events.map(({ eventId }) => eventId));
    expect(Math.max(...statements.map(({ length }) => length)) * textValue.length).toBeLessThanOrEqual(
      8 * MIB,
    );
    expect(statements).toHaveLength(7);
    expect(settle).toHaveBeenCalledOnce();
  });
});
