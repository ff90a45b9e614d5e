import { setTimeout as sleep } from 'node:timers/promises';
import { Inject, Injectable, Logger } from '@nestjs/common';
import type { Message } from '@platformatic/kafka';
import type { FeedbackEvent } from '#libs/core/feedback/feedback-event.js';
import type { Settings } from '#libs/platform/config/settings.js';
import { FeedbackService } from '../feedback/feedback.service.js';
import { SETTINGS_TOKEN } from '../settings.module.js';
import { readMessage, type MessageReading } from './feedback-message.js';
import { KafkaMetrics } from './kafka-metrics.js';
import { KafkaProducer, sizeOf, type OutgoingMessage } from './kafka-producer.js';
import { KafkaWorkspaces, type WorkspaceNames } from './kafka-workspaces.js';

const MAX_BACKOFF_MS = 10_000;

type Incoming = Message<Buffer, Buffer, string, string>;

interface Malformed {
  readonly message: Incoming;
  readonly why: string;
}

interface Readable {
  readonly message: Incoming;
  readonly event: FeedbackEvent;
}

/** Stores what messages say. */
@Injectable()
export class FeedbackIntake {
  private readonly logger = new Logger(FeedbackIntake.name);

  constructor(
    private readonly feedback: FeedbackService,
    private readonly workspaces: KafkaWorkspaces,
    private readonly producer: KafkaProducer,
    private readonly metrics: KafkaMetrics,
    @Inject(SETTINGS_TOKEN) private readonly settings: Settings,
  ) {}

  /**
   * Done when every message of the batch is stored, was stored before, or is among the dead letters. Waits for PostgreSQL as
   * long as it takes: meanwhile nothing more is fetched, and the group is told that this member lives.
   * @throws where the dead letters cannot be sent, and when `signal` says so.
   */
  async take(batch: readonly Incoming[], signal: AbortSignal): Promise<void> {
    const workspaces = await this.patiently(() => this.workspaces.read(), signal);
    const nowMs = Date.now();
    const malformed: Malformed[] = [];
    const byWorkspace = new Map<string, Readable[]>();
    for (const message of batch) {
      const reading = readOrRefuse(message, workspaces, nowMs);
      if ('malformed' in reading) malformed.push({ message, why: reading.malformed });
      else {
        const { workspaceId, event } = reading;
        byWorkspace.set(workspaceId, [...(byWorkspace.get(workspaceId) ?? []), { message, event }]);
      }
    }
    for (const [workspaceId, readable] of byWorkspace)
      malformed.push(...(await this.store(workspaceId, readable, signal)));
    if (malformed.length > 0) await this.bury(malformed);
  }

  /** @returns what the database refuses although it looked well. It does not hold up the others. */
  private async store(
    workspaceId: string,
    readable: readonly Readable[],
    signal: AbortSignal,
  ): Promise<Malformed[]> {
    try {
      const events = readable.map(({ event }) => event);
      const { accepted, duplicates } = await this.patiently(
        () => this.feedback.accept({ workspaceId }, events),
        signal,
      );
      this.metrics.messages.inc({ outcome: 'accepted' }, accepted);
      this.metrics.messages.inc({ outcome: 'duplicate' }, duplicates);
      return [];
    } catch (error) {
      // Its message may quote what was to be stored.
      const code = refusalOf(error);
      if (code === undefined) throw error;
      if (readable.length === 1)
        return [{ message: readable[0]!.message, why: `PostgreSQL refuses it (SQLSTATE ${code})` }];
    }
    const malformed: Malformed[] = [];
    for (const one of readable) malformed.push(...(await this.store(workspaceId, [one], signal)));
    return malformed;
  }

  private async bury(malformed: readonly Malformed[]): Promise<void> {
    const topic = this.settings.CATENA_KAFKA_DEAD_LETTER_TOPIC;
    if (topic !== undefined) await this.producer.send(topic, malformed.map(this.letter, this));
    this.metrics.messages.inc({ outcome: 'malformed' }, malformed.length);
    const [{ message, why }] = malformed as [Malformed, ...Malformed[]];
    const places = malformed.map(({ message: { partition, offset } }) => `${partition}/${offset}`).join(' ');
    const where = topic === undefined ? 'They are skipped' : `They are in topic ${topic}`;
    this.logger.warn(
      `${malformed.length} messages of topic ${message.topic} are no feedback (partition/offset): ${places}. ${where}. The first: ${why}`,
    );
  }

  /** The message as it was. One that leaves no room for the reason goes without: it is where the letter says. */
  private letter({ message: { key, value, headers, ...place }, why }: Malformed): OutgoingMessage {
    const about = {
      'catena-topic': place.topic,
      'catena-partition': String(place.partition),
      'catena-offset': String(place.offset),
      'catena-reason': why,
    };
    const letter = {
      key: key ?? undefined,
      value: value ?? undefined,
      headers: { ...Object.fromEntries(headers), ...about },
    };
    if (sizeOf(letter) <= this.settings.CATENA_KAFKA_MAX_MESSAGE_BYTES) return letter;
    return { key: undefined, value: undefined, headers: { ...about, 'catena-omitted': 'true' } };
  }

  private async patiently<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> {
    for (let failures = 0; ; failures++) {
      try {
        const result = await work();
        if (failures > 0) {
          this.metrics.paused.set(0);
          this.logger.warn('Feedback from Kafka is stored again.');
        }
        return result;
      } catch (error) {
        if (refusalOf(error) !== undefined) throw error;
        if (failures === 0) {
          this.metrics.paused.set(1);
          this.logger.warn(`Feedback from Kafka cannot be stored; it waits until it can: ${String(error)}`);
        }
        await sleep(Math.min(MAX_BACKOFF_MS, 100 * 2 ** Math.min(failures, 10)), undefined, { signal });
      }
    }
  }
}

/** Whatever a message holds, it is dealt with: one that were read again and again would stop its partition. */
function readOrRefuse(message: Incoming, workspaces: WorkspaceNames, nowMs: number): MessageReading {
  try {
    return readMessage(message, workspaces, nowMs);
  } catch (error) {
    return { malformed: `it cannot be read (${(error as Error).name})` };
  }
}

/** SQLSTATE where PostgreSQL refuses the values themselves (classes 22 and 23), so that trying again is of no use. */
function refusalOf(error: unknown): string | undefined {
  const { driverError, code = driverError?.code } = error as {
    driverError?: { code?: string };
    code?: string;
  };
  return /^2[23]/.test(code ?? '') ? code : undefined;
}
