import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { ORDERED_ATTEMPTS } from './retry.js';
import type { Outcome, Outgoing } from './webhook-sender.js';

/** A delivery that this process attempts now. */
export interface Claimed extends Outgoing {
  readonly workspaceId: string;
  /** Number of this attempt. */
  readonly attempt: number;
  /** The same since the event, or since it was asked for again: what delays are counted by. */
  readonly roundAttempt: number;
}

interface ClaimedRow {
  readonly id: string;
  readonly workspaceId: string;
  readonly attempt: number;
  readonly roundAttempt: number;
  readonly body: string;
  readonly webhookId: string;
  readonly url: string;
  readonly secretCiphertext: Buffer | null;
  readonly secretKeyId: string | null;
}

/** The queue in PostgreSQL. Several registries may work on it. */
@Injectable()
export class DeliveryRows {
  constructor(private readonly database: DataSource) {}

  /**
   * Claims the first delivery of each webhook's line that is due. Claiming is scheduling the attempt after this one,
   * for when this process does not come back: a killed registry's deliveries are tried again by whoever is there.
   * @param leaseMs longer than an attempt can take.
   */
  async claim(limit: number, leaseMs: number): Promise<Claimed[]> {
    const [rows]: [ClaimedRow[], number] = await this.database.query(
      `WITH head AS (
         SELECT d.id
           FROM webhook h
          CROSS JOIN LATERAL (
                 SELECT p.id, p.next_attempt_at
                   FROM webhook_delivery p
                  WHERE p.webhook_id = h.id AND p.status = 'PENDING'
                    AND (p.round_attempts < $3 OR p.next_attempt_at <= now())
                  ORDER BY p.seq
                  LIMIT 1) d
          WHERE h.status = 'ACTIVE' AND d.next_attempt_at <= now()
          ORDER BY d.next_attempt_at
          LIMIT $1
       ), due AS (
         SELECT id FROM webhook_delivery
          WHERE id IN (SELECT id FROM head) AND status = 'PENDING' AND next_attempt_at <= now()
            FOR NO KEY UPDATE SKIP LOCKED
       )
       UPDATE webhook_delivery d
          SET attempts = d.attempts + 1, round_attempts = d.round_attempts + 1,
              next_attempt_at = now() + $2 * interval '1 millisecond'
         FROM due, webhook h, webhook_event e
        WHERE d.id = due.id AND h.id = d.webhook_id AND e.id = d.event_id
       RETURNING d.id, d.workspace_id AS "workspaceId", d.attempts AS attempt, d.round_attempts AS "roundAttempt", e.body,
                 h.id AS "webhookId", h.url, h.secret_ciphertext AS "secretCiphertext", h.secret_key_id AS "secretKeyId"`,
      [limit, leaseMs, ORDERED_ATTEMPTS],
    );
    return rows.map(({ webhookId, url, secretCiphertext, secretKeyId, ...rest }) => ({
      ...rest,
      webhook: { id: webhookId, url, secretCiphertext, secretKeyId },
    }));
  }

  /**
   * Ends an attempt: writes its line of the log, and what becomes of the delivery. A webhook removed meanwhile has
   * taken the delivery with it.
   * @param retryMs until the next attempt; undefined when there is none.
   */
  async finish(claimed: Claimed, outcome: Outcome, retryMs: number | undefined): Promise<void> {
    const status = outcome.success ? 'DELIVERED' : retryMs === undefined ? 'FAILED' : 'PENDING';
    await this.database.transaction(async (tx) => {
      // A success is one, however late it comes; a failure counts only while nobody else has taken over.
      const [found]: [unknown[], number] = await tx.query(
        `UPDATE webhook_delivery
            SET status = CASE WHEN status = 'PENDING' AND ($3 OR attempts = $2) THEN $4 ELSE status END,
                next_attempt_at = CASE WHEN status <> 'PENDING' OR NOT ($3 OR attempts = $2) THEN next_attempt_at
                                       WHEN $4 = 'PENDING' THEN now() + $5 * interval '1 millisecond' END,
                finished_at = CASE WHEN status <> 'PENDING' OR NOT ($3 OR attempts = $2) THEN finished_at
                                   WHEN $4 <> 'PENDING' THEN now() END
          WHERE id = $1
          RETURNING id`,
        [claimed.id, claimed.attempt, outcome.success, status, retryMs ?? null],
      );
      if (found.length === 0) return;
      await tx.query(
        `INSERT INTO webhook_attempt
           (delivery_id, number, workspace_id, started_at, duration_ms, response_status, response_excerpt, error)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
        [
          claimed.id,
          claimed.attempt,
          claimed.workspaceId,
          outcome.startedAt,
          outcome.durationMs,
          outcome.responseStatus,
          outcome.responseExcerpt,
          outcome.error,
        ],
      );
    });
  }

  /** The receiver is gone for good (410): nothing more is written down for it. */
  async disable(webhookId: string): Promise<void> {
    await this.database.query(
      `UPDATE webhook SET status = 'DISABLED', revision = revision + 1, updated_at = now()
        WHERE id = $1 AND status = 'ACTIVE'`,
      [webhookId],
    );
  }
}
