import { Injectable } from '@nestjs/common';
import { Counter, Gauge } from 'prom-client';
import { Telemetry } from '../telemetry/telemetry.js';

/** What operators see of Kafka. */
@Injectable()
export class KafkaMetrics {
  readonly messages: Counter<'outcome'>;
  readonly up: Gauge;
  readonly paused: Gauge;
  readonly lag: Gauge;
  readonly published: Counter;
  readonly omitted: Counter;

  constructor({ registry }: Telemetry) {
    const registers = [registry];
    this.messages = new Counter({
      name: 'catena_kafka_feedback_messages_total',
      help: 'Messages with feedback, by what came of them: accepted, duplicate, malformed',
      labelNames: ['outcome'],
      registers,
    });
    for (const outcome of ['accepted', 'duplicate', 'malformed']) this.messages.inc({ outcome }, 0);
    this.up = new Gauge({
      name: 'catena_kafka_feedback_up',
      help: 'Whether this registry is in its consumer group',
      registers,
    });
    this.paused = new Gauge({
      name: 'catena_kafka_feedback_paused',
      help: 'Whether feedback waits for PostgreSQL to take it',
      registers,
    });
    this.lag = new Gauge({
      name: 'catena_kafka_feedback_lag_messages',
      help: 'Messages not yet stored, of the partitions that this registry reads',
      registers,
    });
    this.published = new Counter({
      name: 'catena_kafka_inferences_published_total',
      help: 'Inferences that Kafka has acknowledged',
      registers,
    });
    this.omitted = new Counter({
      name: 'catena_kafka_payloads_omitted_total',
      help: 'Inferences published without their payload, which was too large for a message',
      registers,
    });
  }
}
