import { setTimeout as sleep } from 'node:timers/promises';
import { Inject, Injectable, type OnModuleDestroy } from '@nestjs/common';
import type { Producer } from '@platformatic/kafka';
import type { Settings } from '#libs/platform/config/settings.js';
import { SETTINGS_TOKEN } from '../settings.module.js';
import { connection } from './connection.js';

export interface OutgoingMessage {
  readonly key: Buffer | undefined;
  readonly value: Buffer | undefined;
  readonly headers: Readonly<Record<string, string>>;
}

/** Callers may hold a transaction meanwhile, and others wait for those that are open. */
const SEND_TIMEOUT_MS = 10_000;
const CLOSE_TIMEOUT_MS = 2_000;
/** What a record has beside its key, value and headers, generously. */
const RECORD_BYTES = 100;

type Client = Producer<Buffer, Buffer, string, string>;

/** One idempotent producer, made when it is needed and made anew after a failure. */
@Injectable()
export class KafkaProducer implements OnModuleDestroy {
  private client: Promise<Client> | undefined;

  constructor(@Inject(SETTINGS_TOKEN) private readonly settings: Settings) {}

  async onModuleDestroy(): Promise<void> {
    await this.discard();
  }

  /** In their order; done when all replicas in sync have them all. @throws where some may be missing, or have been sent. */
  async send(topic: string, messages: readonly OutgoingMessage[]): Promise<void> {
    for (const batch of batches(messages, this.settings.CATENA_KAFKA_MAX_MESSAGE_BYTES)) {
      const sent = this.sendBatch(topic, batch);
      const late = new AbortController();
      try {
        await Promise.race([
          sent,
          sleep(SEND_TIMEOUT_MS, undefined, { signal: late.signal }).then(() => {
            throw new Error(
              `Kafka has not acknowledged ${batch.length} messages within ${SEND_TIMEOUT_MS} ms`,
            );
          }),
        ]);
      } catch (error) {
        void this.discard();
        throw error;
      } finally {
        late.abort();
        sent.catch(() => undefined);
      }
    }
  }

  private async sendBatch(topic: string, batch: readonly OutgoingMessage[]): Promise<void> {
    this.client ??= this.create();
    const client = await this.client;
    await client.send({ messages: batch.map((message) => ({ topic, ...message })) });
  }

  private async create(): Promise<Client> {
    const { Producer, stringSerializer } = await import('@platformatic/kafka');
    return new Producer<Buffer, Buffer, string, string>({
      ...connection(this.settings),
      idempotent: true,
      serializers: { headerKey: stringSerializer, headerValue: stringSerializer },
    });
  }

  private async discard(): Promise<void> {
    const { client } = this;
    this.client = undefined;
    const closed = client?.then((producer) => producer.close(true)).catch(() => undefined);
    await Promise.race([closed, sleep(CLOSE_TIMEOUT_MS, undefined, { ref: false })]);
  }
}

/** Bytes that a message takes of a batch, at most. */
export function sizeOf({ key, value, headers }: OutgoingMessage): number {
  const headerBytes = Object.entries(headers).reduce(
    (sum, pair) => sum + Buffer.byteLength(pair[0]) + Buffer.byteLength(pair[1]) + 10,
    0,
  );
  return RECORD_BYTES + (key?.length ?? 0) + (value?.length ?? 0) + headerBytes;
}

/** A broker takes or refuses what goes to one partition at a time as a whole. https://kafka.apache.org/41/ (message.max.bytes) */
function* batches(
  messages: readonly OutgoingMessage[],
  maxBytes: number,
): Generator<readonly OutgoingMessage[]> {
  let batch: OutgoingMessage[] = [];
  let bytes = 0;
  for (const message of messages) {
    const size = sizeOf(message);
    if (batch.length > 0 && bytes + size > maxBytes) {
      yield batch;
      [batch, bytes] = [[], 0];
    }
    batch.push(message);
    bytes += size;
  }
  if (batch.length > 0) yield batch;
}
