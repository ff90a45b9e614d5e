import { Inject, Injectable, type OnModuleInit } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import type { Settings } from '#libs/platform/config/settings.js';
import { Follower, type Arrivals } from '../arrivals/follower.js';
import { ITEM_COLUMNS } from '../inferences/inference-sql.js';
import { SETTINGS_TOKEN } from '../settings.module.js';
import { inferenceMessage, type PublishedRow } from './inference-message.js';
import { KafkaMetrics } from './kafka-metrics.js';
import { KafkaProducer } from './kafka-producer.js';
import { KafkaWorkspaces } from './kafka-workspaces.js';

/**
 * Publishes inferences in the order of their arrival, at least once: its position moves when Kafka has acknowledged all of
 * a pass. Begins with what arrives after it was first turned on; what was before is in the archive.
 */
@Injectable()
export class InferencePublisher extends Follower implements OnModuleInit {
  readonly name = 'kafka-inferences';
  readonly source = 'inference';
  override readonly effects = 'outside';
  /** With payloads a pass is held in memory. */
  override readonly rowsPerPass = 1_000;
  private readonly withPayload: boolean;

  constructor(
    private readonly database: DataSource,
    private readonly producer: KafkaProducer,
    private readonly workspaces: KafkaWorkspaces,
    private readonly metrics: KafkaMetrics,
    @Inject(SETTINGS_TOKEN) private readonly settings: Settings,
  ) {
    super();
    this.withPayload = settings.CATENA_KAFKA_INFERENCE_PAYLOADS === 'include';
  }

  async onModuleInit(): Promise<void> {
    await this.database.query(
      `INSERT INTO follower (name, position, updated_at)
       VALUES ($1, pg_snapshot_xmin(pg_current_snapshot())::text::bigint + catena_arrival_offset(), now())
       ON CONFLICT DO NOTHING`,
      [this.name],
    );
  }

  async apply(tx: EntityManager, { from, to }: Arrivals): Promise<void> {
    const { nameOf } = await this.workspaces.read(tx);
    const rows = await tx.query<PublishedRow[]>(statement(this.withPayload), [from, to, [...nameOf.keys()]]);
    const how = { withPayload: this.withPayload, maxBytes: this.settings.CATENA_KAFKA_MAX_MESSAGE_BYTES };
    const made = rows.map((row) => inferenceMessage(row, nameOf.get(row.workspaceId)!, how));
    await this.producer.send(
      this.settings.CATENA_KAFKA_INFERENCE_TOPIC!,
      made.map(({ message }) => message),
    );
    this.metrics.published.inc(made.length);
    this.metrics.omitted.inc(made.filter(({ isCut }) => isCut).length);
  }
}

function statement(withPayload: boolean): string {
  const [payload, join] = withPayload
    ? [
        `, payload.metadata, payload.request, payload.response, payload.request_digest AS "requestDigest",
           payload.response_digest AS "responseDigest"`,
        `LEFT JOIN inference_payload AS payload ON payload.id = found.id AND payload.started_at = found."startedAt"`,
      ]
    : ['', ''];
  return `
    SELECT found.* ${payload}
      FROM (SELECT ${ITEM_COLUMNS}, contract_rungs AS "contractRungs", model_calls AS "modelCalls",
                   workspace_id AS "workspaceId", arrived AS place
              FROM inference
             WHERE arrived >= $1 AND arrived < $2 AND workspace_id = ANY ($3)) AS found ${join}
     ORDER BY found.place, found.id`;
}
