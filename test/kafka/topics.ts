import { randomBytes } from 'node:crypto';
import {
  Admin,
  Consumer,
  Producer,
  stringDeserializers,
  stringSerializers,
  type CompressionAlgorithmValue,
} from '@platformatic/kafka';
import { eventually } from '../support/gateway.js';
import type { KafkaBroker } from './broker.js';

export interface Sent {
  readonly value?: string | object;
  readonly key?: string;
  readonly headers?: Record<string, string>;
  readonly partition?: number;
  /** Milliseconds since 1970. */
  readonly timestamp?: number;
}

export interface Read {
  readonly key: string | undefined;
  readonly value: string | undefined;
  readonly headers: Readonly<Record<string, string>>;
  readonly partition: number;
}

/** A client of the tests' own. */
export class Topics {
  private readonly options;

  constructor(broker: KafkaBroker) {
    this.options = { clientId: 'test', bootstrapBrokers: [broker.url], retries: 20, retryDelay: 250 };
  }

  /** @returns a topic that nothing else uses. */
  async create(name: string, partitions = 1): Promise<string> {
    const topic = `${name}-${randomBytes(4).toString('hex')}`;
    await this.withAdmin((admin) => admin.createTopics({ topics: [topic], partitions, replicas: 1 }));
    await this.withAdmin((admin) =>
      eventually(async () =>
        (await admin.metadata({ topics: [topic], forceUpdate: true })).topics.has(topic),
      ),
    );
    return topic;
  }

  async send(
    topic: string,
    messages: readonly Sent[],
    compression: CompressionAlgorithmValue = 'none',
  ): Promise<void> {
    const producer = new Producer({ ...this.options, serializers: stringSerializers });
    try {
      for (let from = 0; from < messages.length; from += 1_000)
        await producer.send({
          acks: -1,
          compression,
          messages: messages.slice(from, from + 1_000).map(({ value, timestamp, ...more }) => ({
            topic,
            ...more,
            ...(timestamp !== undefined && { timestamp: BigInt(timestamp) }),
            ...(value !== undefined && { value: typeof value === 'string' ? value : JSON.stringify(value) }),
          })),
        });
    } finally {
      await producer.close(true);
    }
  }

  /** In a transaction of Kafka's. */
  async transact(topic: string, messages: readonly object[], end: 'commit' | 'abort'): Promise<void> {
    const producer = new Producer({
      ...this.options,
      serializers: stringSerializers,
      idempotent: true,
      transactionalId: randomBytes(4).toString('hex'),
    });
    try {
      const transaction = await producer.beginTransaction();
      await transaction.send({
        messages: messages.map((value) => ({ topic, value: JSON.stringify(value) })),
      });
      await transaction[end]();
    } finally {
      await producer.close(true);
    }
  }

  /** All there is in a topic, once there are so many. */
  async read(topic: string, count: number, withinMs = 60_000): Promise<Read[]> {
    const groupId = `reader-${randomBytes(4).toString('hex')}`;
    const consumer = new Consumer({ ...this.options, groupId, deserializers: stringDeserializers });
    const messages: Read[] = [];
    try {
      const stream = await consumer.consume({
        topics: [topic],
        mode: 'earliest',
        autocommit: false,
        maxWaitTime: 200,
      });
      stream.on('data', ({ key, value, headers, partition }) =>
        messages.push({ key, value, headers: Object.fromEntries(headers), partition }),
      );
      await eventually(() => messages.length >= count, withinMs, 20);
      return messages;
    } finally {
      await consumer.close(true);
    }
  }

  /** Where a group goes on, by partition; -1 where it never was. */
  async committed(group: string, topic: string): Promise<number[]> {
    const [found] = await this.withAdmin((admin) => admin.listConsumerGroupOffsets({ groups: [group] }));
    const partitions = found?.topics.find(({ name }) => name === topic)?.partitions ?? [];
    return partitions
      .toSorted((a, b) => a.partitionIndex - b.partitionIndex)
      .map(({ committedOffset }) => Number(committedOffset));
  }

  /** Kafka delivers everything again. The group must have no members. */
  async rewind(group: string, topic: string, partitions: number): Promise<void> {
    const partitionOffsets = Array.from({ length: partitions }, (_, partition) => ({
      partition,
      offset: 0n,
    }));
    await this.withAdmin((admin) =>
      admin.alterConsumerGroupOffsets({ groupId: group, topics: [{ name: topic, partitionOffsets }] }),
    );
  }

  private async withAdmin<T>(work: (admin: Admin) => Promise<T>): Promise<T> {
    const admin = new Admin(this.options);
    try {
      return await work(admin);
    } finally {
      await admin.close();
    }
  }
}
