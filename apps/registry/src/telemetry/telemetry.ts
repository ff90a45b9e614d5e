import { Injectable } from '@nestjs/common';
import { collectDefaultMetrics, Registry } from 'prom-client';

/** The Prometheus metrics of this registry; one per registry, not prom-client's global one, so that tests can run two. */
@Injectable()
export class Telemetry {
  readonly registry = new Registry();

  constructor() {
    collectDefaultMetrics({ register: this.registry });
  }
}
