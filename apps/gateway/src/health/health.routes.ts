import { Injectable } from '@nestjs/common';
import { sendJson } from '../http/respond.js';
import { Routes } from '../http/routes.js';
import { SnapshotStore } from '../snapshot/snapshot.store.js';

/** `GET /healthz`: the process can answer at all. `GET /readyz`: it can route, with or without a database. */
@Injectable()
export class HealthRoutes {
  constructor(routes: Routes, store: SnapshotStore) {
    routes.add({
      method: 'GET',
      path: '/healthz',
      handle: (_request, response) => sendJson(response, 200, '{"status":"ok"}'),
    });
    routes.add({
      method: 'GET',
      path: '/readyz',
      handle: (_request, response) => {
        const { epoch, seq } = store.current;
        sendJson(response, 200, { status: 'ok', snapshot: { epoch, seq } });
      },
    });
  }
}
