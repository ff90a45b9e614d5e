import { Injectable, type OnModuleDestroy } from '@nestjs/common';
import { GatewayError } from '../http/gateway-error.js';
import { sendJson } from '../http/respond.js';
import { Routes } from '../http/routes.js';
import { SharedLimits } from '../limits/shared/shared-limits.js';
import { SnapshotStore } from '../snapshot/snapshot.store.js';

/** `GET /healthz`: the process can answer at all. `GET /readyz`: it can route, with or without a database, and is not stopping.
 * Redis may be away: then limits hold as `CATENA_REDIS_FAILURE` says, and all gateways at once would be no better. */
@Injectable()
export class HealthRoutes implements OnModuleDestroy {
  private stopping = false;

  constructor(routes: Routes, store: SnapshotStore, limits: SharedLimits) {
    routes.add({
      method: 'GET',
      path: '/healthz',
      handle: (_request, response) => sendJson(response, 200, '{"status":"ok"}'),
    });
    routes.add({
      method: 'GET',
      path: '/readyz',
      handle: (_request, response) => {
        if (this.stopping) throw STOPPING;
        const { epoch, seq } = store.current;
        sendJson(response, 200, { status: 'ok', snapshot: { epoch, seq }, limits: limits.status() });
      },
    });
  }

  /** Nest calls it before the server stops to accept. */
  onModuleDestroy(): void {
    this.stopping = true;
  }
}

const STOPPING = new GatewayError(
  503,
  'service_unavailable_error',
  'stopping',
  'The gateway is stopping; send requests to another.',
);
