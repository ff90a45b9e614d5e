import { Injectable } from '@nestjs/common';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Callers } from '../callers/callers.js';
import { endpointFor } from '../callers/endpoint-for.js';
import { Routes } from '../http/routes.js';
import { SnapshotStore } from '../snapshot/snapshot.store.js';
import { assignArm } from './assign.js';
import { resolvedBody } from './resolved-body.js';
import { readResolveQuery } from './resolve-query.js';
import { unitHeaderOf, unitOfResolve } from './unit.js';

/** `GET /v1/resolve/{endpoint}?unit=…&include=config`: for applications that run the chain themselves. */
@Injectable()
export class ResolveRoutes {
  constructor(
    routes: Routes,
    private readonly store: SnapshotStore,
    private readonly callers: Callers,
  ) {
    routes.add({
      method: 'GET',
      path: '/v1/resolve/',
      handle: (request, response, name, query) => this.resolve(request, response, name, query),
    });
  }

  private resolve(request: IncomingMessage, response: ServerResponse, name: string, query: string): void {
    const caller = this.callers.identify(request);
    const { unit: queried, includeConfig } = readResolveQuery(query);
    const unit = unitOfResolve(queried, unitHeaderOf(request));
    const snapshot = this.store.current;
    const endpoint = endpointFor(caller, snapshot, name, 'resolve');

    if (unit !== undefined && matches(request.headers['if-none-match'], snapshot.etag)) {
      response.writeHead(304, ['etag', snapshot.etag, 'cache-control', 'no-cache', 'vary', 'x-catena-unit']);
      response.end();
      return;
    }
    const assigned = assignArm(endpoint, unit, Math.random);
    const { text, bytes } = resolvedBody(endpoint, assigned, includeConfig);
    // A unit's answer may be kept and revalidated; a drawn one is different every time.
    const headers =
      unit === undefined
        ? ['content-type', JSON_TYPE, 'content-length', String(bytes), 'cache-control', 'no-store']
        : [
            'content-type',
            JSON_TYPE,
            'content-length',
            String(bytes),
            'etag',
            snapshot.etag,
            'cache-control',
            'no-cache',
            'vary',
            'x-catena-unit',
          ];
    response.writeHead(200, headers);
    response.end(text);
  }
}

const JSON_TYPE = 'application/json; charset=utf-8';

/** RFC 9110 §13.1.2: weak comparison with each listed tag, or `*`. */
function matches(ifNoneMatch: string | undefined, etag: string): boolean {
  if (ifNoneMatch === undefined) return false;
  if (ifNoneMatch === etag || ifNoneMatch === '*') return true;
  return ifNoneMatch.split(',').some((tag) => tag.trim().replace(/^W\//, '') === etag);
}
