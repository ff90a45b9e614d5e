import { Inject, Injectable, Logger } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import type { Settings } from '#libs/platform/config/settings.js';
import { FollowerLoop } from '../arrivals/follower-loop.js';
import type { ArrivalSource } from '../arrivals/follower.js';
import { SETTINGS_TOKEN } from '../settings.module.js';
import { PayloadStore, type PayloadDay } from './payload-store.js';

/** Dropping a partition stops whoever asks for its table. What cannot be had at once is tried again later. */
const LOCK_TIMEOUT_MS = 1_000;
const LOCK_NOT_AVAILABLE = '55P03';

type PartitionedTable = 'inference' | 'inference_payload';

interface Partition {
  readonly table: PartitionedTable;
  readonly name: string;
  /** UTC, YYYY-MM-DD. */
  readonly day: string;
}

/** Why a partition whose time has come is still there. */
export type HeldBy = 'archive' | 'follower' | 'lock';

const SOURCES: readonly ArrivalSource[] = ['inference', 'feedback', 'feedback_change'];

const unzipped = (pairs: string[][]): string[][] => [0, 1].map((at) => pairs.map((pair) => pair[at]!));

/** What a pass has done. */
export interface RetentionResult {
  readonly dropped: readonly string[];
  readonly held: readonly { readonly name: string; readonly by: HeldBy }[];
}

/**
 * Drops whole days once they are older than they are kept: never a DELETE, which would leave the disk as full as it
 * was. The time is the database's, so that a registry whose clock is wrong drops nothing early.
 * Its caller sees to it that there is one at a time.
 */
@Injectable()
export class Retention {
  private readonly logger = new Logger(Retention.name);
  /** Undefined: for ever. */
  private readonly keptDays: Readonly<Record<PartitionedTable, number | undefined>>;
  private readonly isArchived: boolean;
  /** What had arrived when a day's time was seen to have come; once it is dealt with, it is not asked for what came since. */
  private readonly dueSince = new Map<string, number>();

  constructor(
    private readonly database: DataSource,
    private readonly store: PayloadStore,
    private readonly followers: FollowerLoop,
    @Inject(SETTINGS_TOKEN) settings: Settings,
  ) {
    const { CATENA_INFERENCE_RETENTION_DAYS: inference, CATENA_PAYLOAD_RETENTION_DAYS: payload } = settings;
    // A payload is nothing without its inference.
    this.keptDays = { inference, inference_payload: Math.min(payload ?? Infinity, inference ?? Infinity) };
    this.isArchived = settings.CATENA_ARCHIVE_AFTER_DAYS !== undefined;
  }

  async run(signal: AbortSignal): Promise<RetentionResult> {
    const dropped: string[] = [];
    const held: { name: string; by: HeldBy }[] = [];
    // Payloads first: an inference without its payload is a state that readers know.
    for (const table of ['inference_payload', 'inference'] as const)
      for (const partition of await this.listDue(table)) {
        signal.throwIfAborted();
        const by = await this.drop(partition);
        if (by) {
          held.push({ name: partition.name, by });
          continue;
        }
        this.dueSince.delete(partition.name);
        dropped.push(partition.name);
        this.logger.log(`Dropped ${partition.name}: it was older than it is kept.`);
      }
    await this.removeBodies(signal);
    return { dropped, held };
  }

  private listDue(table: PartitionedTable): Promise<Partition[]> {
    const days = this.keptDays[table];
    if (days === undefined || days === Infinity) return Promise.resolve([]);
    return this.database.query(
      `SELECT $1::text AS "table", c.relname AS name, p.day::text
         FROM pg_inherits h JOIN pg_class c ON c.oid = h.inhrelid
        CROSS JOIN LATERAL (SELECT to_date(right(c.relname, 8), 'YYYYMMDD') AS day) p
        WHERE h.inhparent = $1::regclass AND c.relname ~ ('^' || $1 || '_[0-9]{8}$')
          AND p.day < (now() AT TIME ZONE 'UTC')::date - $2::integer
        ORDER BY p.day`,
      [table, days],
    );
  }

  /** @returns why not. */
  private async drop(partition: Partition): Promise<HeldBy | undefined> {
    try {
      return await this.database.transaction(async (tx) => {
        const by = await this.holderOf(tx, partition);
        if (by) return by;
        await tx.query(`SET LOCAL lock_timeout = ${LOCK_TIMEOUT_MS}`);
        // Rows that are being stored wait for this lock, or this for them: none comes between the look and the drop.
        await tx.query(`LOCK TABLE ONLY ${partition.table} IN ACCESS EXCLUSIVE MODE`);
        const late = await this.holderOf(tx, partition);
        if (!late) await tx.query(`DROP TABLE ${partition.name}`);
        return late;
      });
    } catch (error) {
      if ((error as { code?: string }).code === LOCK_NOT_AVAILABLE) return 'lock';
      throw error;
    }
  }

  /**
   * Who has not seen all rows of the day, however late they came, or all judgements on them. All followers that there
   * are count, also those that only other registries run. Which rows an event is about is not known before it is
   * matched; events come all the time, and so those that had arrived when the day became due must do.
   */
  private async holderOf(tx: EntityManager, { name, day }: Partition): Promise<HeldBy | undefined> {
    const [seen] = await tx.query<{ unfollowed: boolean; unarchived: boolean; next: number }[]>(
      `WITH span AS (SELECT $1::date::timestamp AT TIME ZONE 'UTC' AS since, ($1::date + 1)::timestamp AT TIME ZONE 'UTC' AS until,
                            pg_snapshot_xmax(pg_current_snapshot())::text::bigint + catena_arrival_offset() AS next),
            dealt AS (SELECT source, min(coalesce(f.position, 0)) AS before
                        FROM unnest($3::text[], $4::text[]) AS own (name, source) FULL JOIN follower f USING (name, source)
                       GROUP BY source)
       SELECT $2 AND NOT catena_day_is_archived($1::date) AS unarchived, next,
              EXISTS (SELECT FROM inference i WHERE i.started_at >= since AND i.started_at < until
                         AND i.arrived >= (SELECT before FROM dealt WHERE source = 'inference'))
           OR EXISTS (SELECT FROM feedback_change c WHERE c.started_at >= since AND c.started_at < until
                         AND c.arrived >= (SELECT before FROM dealt WHERE source = 'feedback_change'))
           OR EXISTS (SELECT FROM feedback e WHERE e.arrived < coalesce($5::bigint, next)
                         AND e.arrived >= (SELECT before FROM dealt WHERE source = 'feedback')) AS unfollowed
         FROM span`,
      [
        day,
        this.isArchived,
        ...unzipped(
          SOURCES.flatMap((source) => this.followers.namesOf(source).map((follower) => [follower, source])),
        ),
        this.dueSince.get(name) ?? null,
      ],
    );
    if (!this.dueSince.has(name)) this.dueSince.set(name, seen!.next);
    if (seen!.unarchived) return 'archive';
    return seen!.unfollowed ? 'follower' : undefined;
  }

  /** Of days that have no partition. Those in the archive stay: it refers to them. */
  private async removeBodies(signal: AbortSignal): Promise<void> {
    const days = this.keptDays.inference_payload;
    if (days === undefined || days === Infinity) return;
    const workspaces = await this.database.query<{ id: string }[]>('SELECT id FROM workspace');
    const stored: PayloadDay[] = [];
    for (const { id } of workspaces) stored.push(...(await this.store.listDays(id)));
    if (stored.length === 0) return;
    const gone = await this.database.query<{ day: string }[]>(
      `SELECT day::text FROM unnest($1::date[]) AS day
        WHERE day < (now() AT TIME ZONE 'UTC')::date - $2::integer
          AND to_regclass('inference_payload_' || to_char(day, 'YYYYMMDD')) IS NULL
          AND NOT EXISTS (SELECT FROM archive_day a WHERE a.day = day.day AND a.arrived_to > 0)`,
      [[...new Set(stored.map(({ day }) => day))], days],
    );
    const isGone = new Set(gone.map(({ day }) => day));
    for (const day of stored) {
      if (!isGone.has(day.day)) continue;
      const removed = await this.store.removeDay(day, signal);
      this.logger.log(`Removed ${removed} bodies from the object store under ${day.prefix}.`);
    }
  }
}
