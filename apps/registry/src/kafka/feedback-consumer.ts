import { setTimeout as sleep } from 'node:timers/promises';
import {
  Inject,
  Injectable,
  Logger,
  type OnApplicationBootstrap,
  type OnModuleDestroy,
} from '@nestjs/common';
import type { Consumer, Message, MessagesStream } from '@platformatic/kafka';
import type { Settings } from '#libs/platform/config/settings.js';
import { SETTINGS_TOKEN } from '../settings.module.js';
import { connection } from './connection.js';
import { FeedbackIntake } from './feedback-intake.js';
import { KafkaMetrics } from './kafka-metrics.js';

/** Most messages in one transaction. */
const BATCH = 1_000;
const MAX_BACKOFF_MS = 30_000;
const STOP_MS = 5_000;
const LAG_INTERVAL_MS = 5_000;

type FeedbackStream = MessagesStream<Buffer, Buffer, string, string>;
type FeedbackConsumerClient = Consumer<Buffer, Buffer, string, string>;

/**
 * Reads the feedback topic as long as the registry lives. A message counts as read once what it says is stored: after a
 * failure anywhere it is delivered again, and known by its event id.
 */
@Injectable()
export class FeedbackConsumer implements OnApplicationBootstrap, OnModuleDestroy {
  private readonly logger = new Logger(FeedbackConsumer.name);
  private readonly stop = new AbortController();
  private readonly topic: string;
  private running: Promise<void> = Promise.resolve();

  constructor(
    private readonly intake: FeedbackIntake,
    private readonly metrics: KafkaMetrics,
    @Inject(SETTINGS_TOKEN) private readonly settings: Settings,
  ) {
    this.topic = settings.CATENA_KAFKA_FEEDBACK_TOPIC!;
  }

  onApplicationBootstrap(): void {
    this.running = this.run();
  }

  async onModuleDestroy(): Promise<void> {
    this.stop.abort();
    await Promise.race([this.running, sleep(STOP_MS, undefined, { ref: false })]);
  }

  private async run(): Promise<void> {
    const { signal } = this.stop;
    let failures = 0;
    while (!signal.aborted) {
      try {
        await this.consume(() => {
          if (failures > 0) this.logger.warn(`Feedback is read from topic ${this.topic} again.`);
          failures = 0;
        });
      } catch (error) {
        if (signal.aborted) return;
        const why = reasonOf(error);
        if (failures++ === 0)
          this.logger.warn(`Feedback cannot be read from topic ${this.topic}; trying until it can: ${why}`);
        else this.logger.debug(`Feedback cannot be read: ${why}`);
      }
      const backoffMs = Math.min(MAX_BACKOFF_MS, 500 * 2 ** Math.min(failures, 10));
      await sleep(backoffMs, undefined, { signal, ref: false }).catch(() => undefined);
    }
  }

  /** @param onJoined called when it is in the group. @throws where Kafka is away, and when it is to end. */
  private async consume(onJoined: () => void): Promise<void> {
    const { signal } = this.stop;
    const consumer = await this.createConsumer();
    let stream: FeedbackStream | undefined;
    const end = () => stream?.destroy();
    signal.addEventListener('abort', end);
    try {
      // A member of the group that cannot join again says it like this.
      const failed = new Promise<never>((_, reject) => consumer.once('error', reject));
      failed.catch((error: Error) => stream?.destroy(error));
      consumer.on('error', () => undefined);
      stream = await Promise.race([failed, this.open(consumer)]);
      if (signal.aborted) return;
      onJoined();
      this.metrics.up.set(1);
      for await (const first of stream) {
        const batch = [first];
        for (let next = first; batch.length < BATCH && (next = stream.read() as typeof first);)
          batch.push(next);
        await this.intake.take(batch, signal);
        await consumer.commit({ offsets: ends(batch) });
      }
    } finally {
      signal.removeEventListener('abort', end);
      this.metrics.up.set(0);
      this.metrics.lag.set(0);
      stream?.destroy();
      await Promise.race([
        consumer.close(true).catch(() => undefined),
        sleep(STOP_MS / 2, undefined, { ref: false }),
      ]);
    }
  }

  private async createConsumer(): Promise<FeedbackConsumerClient> {
    const { Consumer, stringDeserializer } = await import('@platformatic/kafka');
    const consumer = new Consumer<Buffer, Buffer, string, string>({
      ...connection(this.settings),
      groupId: this.settings.CATENA_KAFKA_FEEDBACK_GROUP,
      autocommit: false,
      // A registry that was killed keeps its partitions this long.
      sessionTimeout: 10_000,
      rebalanceTimeout: 30_000,
      deserializers: { headerKey: stringDeserializer, headerValue: stringDeserializer },
    });
    consumer.on('consumer:lag', (lags: Map<string, bigint[]>) =>
      this.metrics.lag.set(
        (lags.get(this.topic) ?? []).reduce((sum, lag) => sum + (lag > 0n ? Number(lag) : 0), 0),
      ),
    );
    return consumer;
  }

  private async open(consumer: FeedbackConsumerClient): Promise<FeedbackStream> {
    const stream = await consumer.consume({
      topics: [this.topic],
      mode: 'committed',
      fallbackMode: 'earliest',
      maxWaitTime: 500,
      maxBytes: 8_388_608,
      highWaterMark: 64,
    });
    consumer.startLagMonitoring({ topics: [this.topic] }, LAG_INTERVAL_MS);
    return stream;
  }
}

/** Where each partition is read on from. */
function ends(batch: readonly Message<Buffer, Buffer, string, string>[]) {
  const last = new Map(batch.map((message) => [message.partition, message]));
  return [...last.values()].map(({ topic, partition, offset, leaderEpoch }) => ({
    topic,
    partition,
    offset: offset + 1n,
    leaderEpoch,
  }));
}

/** The client's errors say what happened in what they hold. */
function reasonOf(error: unknown): string {
  const { message, errors } = error as { message?: string; errors?: unknown[] };
  const inner = errors?.[0];
  return inner === undefined ? (message ?? String(error)) : `${message} ${reasonOf(inner)}`;
}
