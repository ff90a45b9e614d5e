import { Injectable } from '@nestjs/common';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Routes } from '../http/routes.js';
import { Metrics } from './metrics.js';

/** `GET /metrics`, in Prometheus' text format. */
@Injectable()
export class MetricsRoutes {
  constructor(
    routes: Routes,
    private readonly metrics: Metrics,
  ) {
    routes.add({
      method: 'GET',
      path: '/metrics',
      handle: (request, response) => this.answer(request, response),
    });
  }

  private async answer(_request: IncomingMessage, response: ServerResponse): Promise<void> {
    const text = await this.metrics.registry.metrics();
    response.writeHead(200, [
      'content-type',
      this.metrics.registry.contentType,
      'content-length',
      String(Buffer.byteLength(text)),
    ]);
    response.end(text);
  }
}
