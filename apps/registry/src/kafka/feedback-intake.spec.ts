import type { Message } from '@platformatic/kafka';
import { describe, expect, it, vi } from 'vitest';
import type { Settings } from '#libs/platform/config/settings.js';
import type { FeedbackService } from '../feedback/feedback.service.js';
import { FeedbackIntake } from './feedback-intake.js';
import type { KafkaMetrics } from './kafka-metrics.js';
import type { KafkaProducer, OutgoingMessage } from './kafka-producer.js';
import type { KafkaWorkspaces } from './kafka-workspaces.js';

type Incoming = Message<Buffer, Buffer, string, string>;

/** Whose headers cannot be looked into: stands for whatever nobody has thought of. */
class Unreadable extends Map<string, string> {
  override get(): never {
    throw new RangeError('Maximum call stack size exceeded');
  }
}

const message = (offset: number, value: string, headers = new Map<string, string>()) =>
  ({
    topic: 'f',
    partition: 0,
    offset: BigInt(offset),
    timestamp: 0n,
    value: Buffer.from(value),
    headers,
  }) as unknown as Incoming;

describe('what takes feedback from Kafka', () => {
  it('puts what it cannot read among the dead letters, and stores the others', async () => {
    const accept = vi.fn(() => Promise.resolve({ accepted: 1, duplicates: 0 }));
    const send = vi.fn<(topic: string, letters: OutgoingMessage[]) => Promise<void>>(() => Promise.resolve());
    const metric = { inc: vi.fn(), set: vi.fn() };
    const intake = new FeedbackIntake(
      { accept } as unknown as FeedbackService,
      {
        read: () => Promise.resolve({ first: 'w', idOf: new Map([['w', 'id']]), nameOf: new Map() }),
      } as unknown as KafkaWorkspaces,
      { send } as unknown as KafkaProducer,
      { messages: metric, paused: metric } as unknown as KafkaMetrics,
      { CATENA_KAFKA_DEAD_LETTER_TOPIC: 'dead', CATENA_KAFKA_MAX_MESSAGE_BYTES: 1e6 } as Settings,
    );
    const deep = `{"unit":"u","name":"n","kind":"correction","value":${'['.repeat(5000)}${']'.repeat(5000)}}`;
    const good = '{"unit":"u","name":"n","value":true}';
    await intake.take(
      [message(1, deep), message(2, good, new Unreadable()), message(3, good)],
      new AbortController().signal,
    );
    expect(accept).toHaveBeenCalledOnce();
    const reasons = send.mock.calls[0]![1].map(
      ({ headers }) => (headers as Record<string, string>)['catena-reason'],
    );
    expect(reasons).toEqual(['/value is nested too deeply', 'it cannot be read (RangeError)']);
  });
});
