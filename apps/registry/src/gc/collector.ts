import type { DataSource } from 'typeorm';
import { LATE_DAYS } from '../ab-tests/running-tests.js';
import type { BlobStore } from '../artifacts/blob-store.js';
import { ExperimentRemoval } from './experiment-removal.js';
import type { GcScope } from './gc-scope.js';
import { deleted, RunRemoval } from './run-removal.js';
import { Tally } from './tally.js';

const BLOBS = 1_000;
const DELIVERIES = 5_000;
const UNITS = 5_000;

/**
 * Removes for good what was deleted: rows first, in short transactions that live traffic works beside, then blobs that
 * no artifact refers to, then the objects of dropped blobs whose time has come. Killed at any moment it leaves nothing
 * that refers to what is gone; the next one goes on.
 */
export class Collector {
  constructor(
    private readonly database: DataSource,
    private readonly blobs: BlobStore,
  ) {}

  /** What `collect` would remove; nothing is changed. */
  async preview(scope: GcScope): Promise<Tally> {
    const tally = new Tally();
    await new RunRemoval(this.database, tally).count(scope);
    await new ExperimentRemoval(this.database, tally).count(scope);
    const [row]: { blobs: number; bytes: number }[] = await this.database.query(
      `SELECT count(*) AS blobs, COALESCE(sum(size_bytes), 0)::bigint AS bytes FROM blob b
        WHERE NOT EXISTS (SELECT FROM artifact a WHERE a.workspace_id = b.workspace_id AND a.sha256 = b.sha256)`,
    );
    tally.add('blobs that nothing refers to now', row!.blobs);
    tally.add('bytes of these', row!.bytes);
    return tally;
  }

  async collect(scope: GcScope): Promise<Tally> {
    const tally = new Tally();
    await new RunRemoval(this.database, tally).remove(scope);
    await new ExperimentRemoval(this.database, tally).remove(scope);
    if (scope.runIds === undefined && scope.experimentNumbers === undefined) {
      await this.forgetDeliveries(scope, tally);
      await this.forgetUnits(scope, tally);
    }
    await this.dropBlobs(tally);
    return tally;
  }

  private async dropBlobs(tally: Tally): Promise<void> {
    const now = new Date();
    for (let count = BLOBS; count === BLOBS;) {
      count = await this.blobs.removeUnreferenced(now, BLOBS, now);
      tally.add('blobs', count);
    }
    for (let count = BLOBS; count === BLOBS;) {
      count = await this.blobs.sweep(now, BLOBS);
      tally.add('objects in the store', count);
    }
  }

  /** The log of webhook deliveries that came to an end before the cutoff. */
  private async forgetDeliveries(scope: GcScope, tally: Tally): Promise<void> {
    for (let count = DELIVERIES; count === DELIVERIES;) {
      count = await deleted(
        this.database.manager,
        `DELETE FROM webhook_delivery WHERE id = ANY (ARRAY(
           SELECT id FROM webhook_delivery
            WHERE finished_at < $1 AND ($2::uuid IS NULL OR workspace_id = $2) LIMIT ${DELIVERIES}))`,
        [scope.before, scope.workspaceId ?? null],
      );
      tally.add('webhook deliveries', count);
    }
    await this.database.query(
      `DELETE FROM webhook_event e WHERE at < $1 AND NOT EXISTS (SELECT FROM webhook_delivery d WHERE d.event_id = e.id)`,
      [scope.before],
    );
  }

  /** Units of A/B tests that take no rows any more. Their sums stay, which is all that results are read from. */
  private async forgetUnits({ workspaceId }: GcScope, tally: Tally): Promise<void> {
    for (const table of ['ab_test_unit', 'ab_test_judgement'])
      for (let count = UNITS; count === UNITS;) {
        count = await deleted(
          this.database.manager,
          `DELETE FROM ${table} WHERE ctid = ANY (ARRAY(
             SELECT u.ctid FROM ab_test t JOIN ${table} u ON u.test = t.serial
              WHERE t.stopped_at < now() - make_interval(days => $1) AND ($2::uuid IS NULL OR t.workspace_id = $2)
              LIMIT ${UNITS}))`,
          [LATE_DAYS + 1, workspaceId ?? null],
        );
        tally.add('units of A/B tests', count);
      }
  }
}
