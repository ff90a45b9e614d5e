import { Counter, Gauge, type Registry } from 'prom-client';
import type { InferenceStatus } from '#libs/core/inference/inference-row.js';
import type { SegmentCatalog } from './segment-catalog.js';

/** What happens to inference rows, as Prometheus metrics. */
export class SpoolMetrics {
  /** Label children, looked up once. */
  readonly inferences: Readonly<Record<InferenceStatus, { inc(): void }>>;
  readonly pending: Gauge;
  readonly bytes: Gauge;
  readonly shipped: Counter;
  readonly dropped: Counter;
  readonly quarantined: Counter;
  readonly batchFailures: Counter;
  private catalog: SegmentCatalog | undefined;

  constructor(registry: Registry) {
    const registers = [registry];
    const inferences = new Counter({
      name: 'catena_inferences_total',
      help: 'Admitted requests that have ended, by status',
      labelNames: ['status'],
      registers,
    });
    this.inferences = {
      ok: inferences.labels('ok'),
      error: inferences.labels('error'),
      cancelled: inferences.labels('cancelled'),
      interrupted: inferences.labels('interrupted'),
    };
    this.pending = new Gauge({
      name: 'catena_spool_pending_rows',
      help: 'Closed inferences of this process that are not in PostgreSQL yet',
      registers,
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
