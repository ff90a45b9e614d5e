import { Counter, Gauge, type Registry } from 'prom-client';
import type { InferenceStatus } from '#libs/core/inference/inference-row.js';
import type { SegmentCatalog } from './segment-catalog.js';

/** What happens to inference rows, as Prometheus metrics. */
export class SpoolMetrics {
  /** Counted by the request path: plain numbers, which the registry reads when it is asked. */
  readonly ended: Record<InferenceStatus, number> = { ok: 0, error: 0, cancelled: 0, interrupted: 0 };
  pendingRows = 0;
  readonly pending: Gauge;
  readonly bytes: Gauge;
  readonly shipped: Counter;
  readonly dropped: Counter;
  readonly quarantined: Counter;
  readonly damaged: Counter;
  readonly batchFailures: Counter;
  readonly clockSkew: Gauge;
  private catalog: SegmentCatalog | undefined;

  constructor(registry: Registry) {
    const registers = [registry];
    const { ended } = this;
    const inferences = new Counter({
      name: 'catena_inferences_total',
      help: 'Admitted requests that have ended, by status',
      labelNames: ['status'],
      registers: [],
      collect() {
        this.reset();
        for (const [status, count] of Object.entries(ended)) this.inc({ status }, count);
      },
    });
    registry.registerMetric(inferences);
    const readPending = () => this.pendingRows;
    this.pending = new Gauge({
      name: 'catena_spool_pending_rows',
      help: 'Closed inferences of this process that are not in PostgreSQL yet',
      registers,
      collect() {
        this.set(readPending());
      },
    });
    const read = () => this.catalog?.bytes ?? 0;
    this.bytes = new Gauge({
      name: 'catena_spool_bytes',
      help: 'Bytes of the spool on disk',
      registers,
      collect() {
        this.set(read());
      },
    });
    this.shipped = new Counter({
      name: 'catena_rows_shipped_total',
      help: 'Inference rows stored in PostgreSQL',
      registers,
    });
    this.dropped = new Counter({
      name: 'catena_rows_dropped_total',
      help: 'Requests answered without a row, because the spool was full and CATENA_SPOOL_FULL is drop',
      registers,
    });
    this.quarantined = new Counter({
      name: 'catena_rows_quarantined_total',
      help: 'Inference rows PostgreSQL refused; they are in quarantine.jsonl of the spool',
      registers,
    });
    const readDamage = () => this.catalog?.damageCount ?? 0;
    this.damaged = new Counter({
      name: 'catena_spool_damaged_records_total',
      help: 'Places in the spool that could not be read back; their files are kept as *.seg.damaged',
      registers,
      collect() {
        this.reset();
        this.inc(readDamage());
      },
    });
    this.clockSkew = new Gauge({
      name: 'catena_clock_skew_seconds',
      help: "How far this gateway's clock is ahead of the database's",
      registers,
    });
    this.batchFailures = new Counter({
      name: 'catena_ship_failures_total',
      help: 'Batches of rows that could not be stored and were tried again',
      registers,
    });
  }

  watch(catalog: SegmentCatalog): void {
    this.catalog = catalog;
  }
}
