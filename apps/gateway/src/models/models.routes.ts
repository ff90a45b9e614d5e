import { Injectable } from '@nestjs/common';
import type { ServerResponse } from 'node:http';
import { sendJson } from '../http/respond.js';
import { Routes } from '../http/routes.js';
import type { ServedEndpoint, Snapshot } from '../snapshot/snapshot.js';
import { SnapshotStore } from '../snapshot/snapshot.store.js';
import { unknownEndpoint } from '../snapshot/unknown-endpoint.js';

/** `GET /v1/models` and `/v1/models/{id}`, OpenAI's protocol: a "model" is a serving endpoint. */
@Injectable()
export class ModelsRoutes {
  private list: { readonly snapshot: Snapshot; readonly body: Buffer } | undefined;

  constructor(
    routes: Routes,
    private readonly store: SnapshotStore,
  ) {
    routes.add({
      method: 'GET',
      path: '/v1/models',
      handle: (_request, response) => this.answerList(response),
    });
    routes.add({
      method: 'GET',
      path: '/v1/models/',
      handle: (_request, response, id) => this.answerOne(response, id),
    });
  }

  private answerList(response: ServerResponse): void {
    const snapshot = this.store.current;
    if (this.list?.snapshot !== snapshot) {
      const data = [...snapshot.endpoints.values()]
        .sort((a, b) => (a.name < b.name ? -1 : 1))
        .map((endpoint) => model(endpoint));
      this.list = { snapshot, body: Buffer.from(JSON.stringify({ object: 'list', data })) };
    }
    sendJson(response, 200, this.list.body);
  }

  private answerOne(response: ServerResponse, id: string): void {
    const endpoint = this.store.current.endpoints.get(id);
    if (!endpoint) throw unknownEndpoint(id, 'model');
    sendJson(response, 200, model(endpoint));
  }
}

function model(endpoint: ServedEndpoint): object {
  const created = Math.floor(Date.parse(endpoint.createdAt) / 1000);
  return { id: endpoint.name, object: 'model', created, owned_by: 'catena' };
}
