import { Injectable } from '@nestjs/common';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Caller } from '../callers/caller.js';
import { Callers } from '../callers/callers.js';
import { sendJson } from '../http/respond.js';
import { Routes } from '../http/routes.js';
import type { ServedEndpoint, Snapshot } from '../snapshot/snapshot.js';
import { SnapshotStore } from '../snapshot/snapshot.store.js';
import { unknownEndpoint } from '../snapshot/unknown-endpoint.js';
import { findIn } from '../snapshot/workspace-key.js';

/** `GET /v1/models` and `/v1/models/{id}`, OpenAI's protocol: a "model" is a serving endpoint. */
@Injectable()
export class ModelsRoutes {
  /** By snapshot and caller. */
  private lists: { readonly snapshot: Snapshot; readonly bodies: Map<Caller, Buffer> } | undefined;

  constructor(
    routes: Routes,
    private readonly callers: Callers,
    private readonly store: SnapshotStore,
  ) {
    routes.add({
      method: 'GET',
      path: '/v1/models',
      handle: (request, response) => this.answerList(request, response),
    });
    routes.add({
      method: 'GET',
      path: '/v1/models/',
      handle: (request, response, id) => this.answerOne(request, response, id),
    });
  }

  private answerList(request: IncomingMessage, response: ServerResponse): void {
    const caller = this.callers.identify(request);
    const snapshot = this.store.current;
    if (this.lists?.snapshot !== snapshot) this.lists = { snapshot, bodies: new Map() };
    let body = this.lists.bodies.get(caller);
    if (!body) {
      const data = [...snapshot.endpoints.values()]
        .filter(({ workspaceId, name }) => workspaceId === caller.workspaceId && caller.mayUse(name))
        .sort((a, b) => (a.name < b.name ? -1 : 1))
        .map((endpoint) => model(endpoint));
      body = Buffer.from(JSON.stringify({ object: 'list', data }));
      if (this.lists.bodies.size < MAX_BODIES) this.lists.bodies.set(caller, body);
    }
    sendJson(response, 200, body);
  }

  /** What a caller may not use is not there for it. */
  private answerOne(request: IncomingMessage, response: ServerResponse, id: string): void {
    const caller = this.callers.identify(request);
    const endpoint = findIn(this.store.current.endpoints, caller.workspaceId, id);
    if (!endpoint || !caller.mayUse(id)) throw unknownEndpoint(id, 'model');
    sendJson(response, 200, model(endpoint));
  }
}

/** A list of 100 000 endpoints has 10 MB. */
const MAX_BODIES = 16;

function model(endpoint: ServedEndpoint): object {
  const created = Math.floor(Date.parse(endpoint.createdAt) / 1000);
  return { id: endpoint.name, object: 'model', created, owned_by: 'catena' };
}
