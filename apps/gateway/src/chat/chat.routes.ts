import { Inject, Injectable } from '@nestjs/common';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Counter } from 'prom-client';
import type { Settings } from '#libs/platform/config/settings.js';
import type { Logger } from '#libs/platform/log/logger.js';
import { ReplicaLanes } from '../dispatch/replica-lanes.js';
import { UpstreamFailure } from '../dispatch/upstream-failure.js';
import { GatewayError } from '../http/gateway-error.js';
import { readBody } from '../http/read-body.js';
import { failRequest, givenRequestId } from '../http/respond.js';
import { Routes } from '../http/routes.js';
import { Metrics } from '../metrics/metrics.js';
import { assignArm } from '../resolve/assign.js';
import { LOGGER_TOKEN, SETTINGS_TOKEN } from '../settings.module.js';
import { SnapshotStore } from '../snapshot/snapshot.store.js';
import { unknownEndpoint } from '../snapshot/unknown-endpoint.js';
import { SpoolService } from '../spool/spool.service.js';
import { readChatRequest } from './chat-request.js';
import { Exchange, type ExchangeServices } from './exchange.js';
import { Inference } from './inference.js';
import { unitHeaderOf } from '../resolve/unit.js';

/** `POST /v1/chat/completions`, OpenAI's protocol: `model` is the serving endpoint. */
@Injectable()
export class ChatRoutes {
  private readonly services: ExchangeServices;
  private readonly refused: Counter;

  constructor(
    routes: Routes,
    metrics: Metrics,
    spool: SpoolService,
    private readonly lanes: ReplicaLanes,
    private readonly store: SnapshotStore,
    @Inject(SETTINGS_TOKEN) private readonly settings: Settings,
    @Inject(LOGGER_TOKEN) logger: Logger,
  ) {
    this.refused = new Counter({
      name: 'catena_requests_refused_total',
      help: 'Requests for a chat completion that were refused and have no row, by error code',
      labelNames: ['code'],
      registers: [metrics.registry],
    });
    this.services = {
      lanes,
      spool: spool.spool,
      logger,
      refused: this.refused,
      totalTimeoutMs: settings.CATENA_TOTAL_TIMEOUT_MS,
      stallTimeoutMs: settings.CATENA_IDLE_TIMEOUT_MS,
    };
    routes.add({
      method: 'POST',
      path: '/v1/chat/completions',
      handle: (request, response) => this.complete(request, response),
    });
  }

  private complete(request: IncomingMessage, response: ServerResponse): void {
    const startedMs = performance.now();
    readBody(request, this.settings.CATENA_MAX_BODY_BYTES, (body) => {
      try {
        if (body instanceof GatewayError) throw body;
        this.admit(body, request, response, startedMs);
      } catch (error) {
        if (error instanceof GatewayError) this.refused.inc({ code: error.code });
        failRequest(this.services.logger, request, response, error);
      }
    });
  }

  private admit(body: Buffer, request: IncomingMessage, response: ServerResponse, startedMs: number): void {
    const chat = readChatRequest(body, unitHeaderOf(request));
    const endpoint = this.store.current.endpoints.get(chat.endpoint);
    if (!endpoint) throw unknownEndpoint(chat.endpoint, 'model');
    const assigned = assignArm(endpoint, chat.unit, Math.random);
    const inference = new Inference(chat, endpoint, assigned, Date.now());
    this.shedLoad(inference);
    // An id of the inference's own is enough where the caller gives none.
    const requestId = givenRequestId(request) ?? inference.id;
    new Exchange(this.services, inference, response, requestId, startedMs).start();
  }

  /** What would find the queue full and has nowhere else to go is turned away before it costs anything. */
  private shedLoad(inference: Inference): void {
    if (inference.generations > 1) return;
    const { modelEndpoint } = inference.generation;
    if (!this.lanes.find(modelEndpoint)?.isFull) return;
    throw new UpstreamFailure(
      'queue_full',
      `All replicas of "${modelEndpoint}" are busy and the queue is full; try again later.`,
    ).toError(modelEndpoint, undefined);
  }
}
