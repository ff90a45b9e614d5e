import { Counter, Gauge, type Registry } from 'prom-client';
import type { FeedbackSpool } from './feedback-spool.js';

/** What happens to feedback, as Prometheus metrics. */
export class FeedbackMetrics {
  readonly accepted: Counter<'way'>;
  readonly shipped: Counter;
  readonly quarantined: Counter;
  readonly failures: Counter;

  constructor(registry: Registry, spool: FeedbackSpool) {
    const registers = [registry];
    this.accepted = new Counter({
      name: 'catena_feedback_accepted_total',
      help: 'Judgements taken into the spool, by the way they came: api or link',
      labelNames: ['way'],
      registers,
    });
    for (const way of ['api', 'link']) this.accepted.inc({ way }, 0);
    this.shipped = new Counter({
      name: 'catena_feedback_shipped_total',
      help: 'Judgements stored in PostgreSQL, or found there',
      registers,
    });
    this.quarantined = new Counter({
      name: 'catena_feedback_quarantined_total',
      help: 'Judgements PostgreSQL refused; they are in quarantine.jsonl of the spool of feedback',
      registers,
    });
    this.failures = new Counter({
      name: 'catena_feedback_ship_failures_total',
      help: 'Batches of feedback that could not be stored and were tried again',
      registers,
    });
    registry.registerMetric(
      new Gauge({
        name: 'catena_feedback_spool_bytes',
        help: 'Bytes of the spool of feedback on disk',
        registers: [],
        collect() {
          this.set(spool.bytes);
        },
      }),
    );
    registry.registerMetric(
      new Counter({
        name: 'catena_feedback_spool_damaged_records_total',
        help: 'Places in the spool of feedback that could not be read back; their files are kept as *.seg.damaged',
        registers: [],
        collect() {
          this.reset();
          this.inc(spool.damageCount);
        },
      }),
    );
  }
}
