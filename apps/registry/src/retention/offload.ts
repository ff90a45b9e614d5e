import { Inject, Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import type { Settings } from '#libs/platform/config/settings.js';
import { SETTINGS_TOKEN } from '../settings.module.js';
import { PayloadStore } from './payload-store.js';

const BATCH_ROWS = 100;
/** That of the index `inference_payload_large_idx`; its condition has to be there as it stands in the migration. */
const LARGEST = 'greatest(octet_length(request), octet_length(response))';
const INDEXED = `${LARGEST} > 8192`;

interface LargeRow {
  readonly id: string;
  readonly startedAt: Date;
  readonly workspaceId: string;
}

/** Moves bodies that are too large for PostgreSQL to the object store. Its caller sees to it that there is one at a time. */
@Injectable()
export class Offload {
  /** Told before PostgreSQL forgets a body; for tests, which end the process here. */
  onStored: () => void | Promise<void> = () => undefined;
  private readonly inlineBytes: number;

  constructor(
    private readonly database: DataSource,
    private readonly store: PayloadStore,
    @Inject(SETTINGS_TOKEN) settings: Settings,
  ) {
    this.inlineBytes = settings.CATENA_PAYLOAD_INLINE_BYTES;
  }

  /**
   * Moves all there are. Where it ends in between, PostgreSQL still has the body, and the next attempt stores the same
   * bytes under the same digest.
   * @param onMoved told of every row. @throws DomainError OBJECT_STORE_UNAVAILABLE; what is not moved stays.
   */
  async run(signal: AbortSignal, onMoved: () => void): Promise<void> {
    for (let rows = await this.listLarge(); rows.length > 0; rows = await this.listLarge())
      for (const row of rows) {
        signal.throwIfAborted();
        await this.move(row);
        onMoved();
      }
  }

  private listLarge(): Promise<LargeRow[]> {
    return this.database.query(
      `SELECT id, started_at AS "startedAt", workspace_id AS "workspaceId" FROM inference_payload
        WHERE ${INDEXED} AND ${LARGEST} > $1 ORDER BY ${LARGEST} DESC LIMIT ${BATCH_ROWS}`,
      [this.inlineBytes],
    );
  }

  private async move(row: LargeRow): Promise<void> {
    const key = [row.id, row.startedAt];
    const [bodies] = await this.database.query<{ request: string | null; response: string | null }[]>(
      `SELECT CASE WHEN octet_length(request) > $3 THEN request END AS request,
              CASE WHEN octet_length(response) > $3 THEN response END AS response
         FROM inference_payload WHERE id = $1 AND started_at = $2`,
      [...key, this.inlineBytes],
    );
    if (!bodies) return; // dropped meanwhile
    const { request, response } = bodies;
    const requestDigest = request === null ? null : await this.store.write(row, request);
    const responseDigest = response === null ? null : await this.store.write(row, response);
    await this.onStored();
    await this.database.query(
      `UPDATE inference_payload
          SET request = CASE WHEN $3::text IS NULL THEN request END, request_digest = coalesce($3, request_digest),
              response = CASE WHEN $4::text IS NULL THEN response END, response_digest = coalesce($4, response_digest)
        WHERE id = $1 AND started_at = $2`,
      [...key, requestDigest, responseDigest],
    );
  }
}
