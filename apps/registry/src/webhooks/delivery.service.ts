import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { validate } from 'uuid';
import { DomainError } from '#libs/core/errors/catalogue.js';
import type { Caller } from '../http/caller.js';
import { decodeCursor, isStringKey, pageOf, type Page } from '../http/page.js';
import type { AttemptDto, DeliveryDetailDto, DeliveryDto, ListDeliveriesQuery } from './delivery.dto.js';
import { WebhookService } from './webhook.service.js';

type Dates = 'nextAttemptAt' | 'createdAt' | 'finishedAt';
type DeliveryRow = Omit<DeliveryDto, Dates> & {
  nextAttemptAt: Date | null;
  createdAt: Date;
  finishedAt: Date | null;
};
type AttemptRow = Omit<AttemptDto, 'startedAt'> & { startedAt: Date };

const COLUMNS = `d.id, e.type AS event, d.status, d.attempts, d.next_attempt_at AS "nextAttemptAt",
                 d.created_at AS "createdAt", d.finished_at AS "finishedAt"`;
const FROM = `FROM webhook_delivery d JOIN webhook_event e ON e.id = d.event_id
              WHERE d.workspace_id = $1 AND d.webhook_id = $2`;

/** What became of each event for one webhook. */
@Injectable()
export class DeliveryService {
  constructor(
    private readonly database: DataSource,
    private readonly webhooks: WebhookService,
  ) {}

  /** Newest first. @throws DomainError NOT_FOUND. */
  async list(caller: Caller, webhookId: string, query: ListDeliveriesQuery): Promise<Page<DeliveryDto>> {
    const before = decodeCursor(query.cursor, (key): key is string => isStringKey(key) && validate(key));
    const { id } = await this.webhooks.get(caller, webhookId);
    const rows: DeliveryRow[] = await this.database.query(
      `SELECT ${COLUMNS} ${FROM}
          AND ($3::uuid IS NULL OR d.id < $3) AND ($4::text IS NULL OR d.status = $4)
        ORDER BY d.id DESC LIMIT $5`,
      [caller.workspaceId, id, before ?? null, query.status ?? null, query.limit + 1],
    );
    return pageOf(rows, query.limit, (row) => row.id, toDto);
  }

  /** @throws DomainError NOT_FOUND. */
  async get(caller: Caller, webhookId: string, deliveryId: string): Promise<DeliveryDetailDto> {
    const { id } = await this.webhooks.get(caller, webhookId);
    const rows: (DeliveryRow & { body: string })[] = validate(deliveryId)
      ? await this.database.query(`SELECT ${COLUMNS}, e.body ${FROM} AND d.id = $3`, [
          caller.workspaceId,
          id,
          deliveryId,
        ])
      : [];
    const row = rows[0];
    if (!row)
      throw new DomainError(
        'NOT_FOUND',
        `The webhook has no delivery "${deliveryId.slice(0, 64)}"; list them to find its id.`,
      );
    const log: AttemptRow[] = await this.database.query(
      `SELECT number, started_at AS "startedAt", duration_ms AS "durationMs", response_status AS "responseStatus",
              response_excerpt AS "responseExcerpt", error
         FROM webhook_attempt WHERE delivery_id = $1 ORDER BY number`,
      [row.id],
    );
    return {
      ...row,
      ...datesOf(row),
      body: row.body,
      log: log.map((line) => ({ ...line, startedAt: line.startedAt.toISOString() })),
    };
  }

  /** Sends it again under the same id, with a full set of attempts; ahead of what came later. @throws DomainError NOT_FOUND. */
  async redeliver(caller: Caller, webhookId: string, deliveryId: string): Promise<DeliveryDetailDto> {
    const { id } = await this.get(caller, webhookId, deliveryId);
    await this.database.query(
      `UPDATE webhook_delivery SET status = 'PENDING', round_attempts = 0, next_attempt_at = now(), finished_at = NULL
        WHERE workspace_id = $1 AND id = $2`,
      [caller.workspaceId, id],
    );
    return this.get(caller, webhookId, deliveryId);
  }
}

function toDto(row: DeliveryRow): DeliveryDto {
  return { ...row, ...datesOf(row) };
}

function datesOf({ nextAttemptAt, createdAt, finishedAt }: DeliveryRow): Pick<DeliveryDto, Dates> {
  return {
    nextAttemptAt: nextAttemptAt?.toISOString() ?? null,
    createdAt: createdAt.toISOString(),
    finishedAt: finishedAt?.toISOString() ?? null,
  };
}
