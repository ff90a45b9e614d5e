import { Inject, Injectable } from '@nestjs/common';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Counter } from 'prom-client';
import type { Settings } from '#libs/platform/config/settings.js';
import type { Logger } from '#libs/platform/log/logger.js';
import { AnswerCache } from '../cache/answer-cache.js';
import { Replay } from '../cache/replay.js';
import type { Caller } from '../callers/caller.js';
import { Callers } from '../callers/callers.js';
import { assertCleared, endpointFor } from '../callers/endpoint-for.js';
import { ReplicaLanes } from '../dispatch/replica-lanes.js';
import { StreamClocks } from '../dispatch/stream-clocks.js';
import type { WorkspaceLanes } from '../dispatch/workspace-lanes.js';
import { Drain } from '../http/drain.js';
import { GatewayError } from '../http/gateway-error.js';
import { readBody } from '../http/read-body.js';
import { failRequest, givenRequestId } from '../http/respond.js';
import { Routes } from '../http/routes.js';
import { Limiter } from '../limits/limiter.js';
import type { Reservation } from '../limits/reservation.js';
import { Metrics } from '../metrics/metrics.js';
import { assignArm } from '../resolve/assign.js';
import { LOGGER_TOKEN, SETTINGS_TOKEN } from '../settings.module.js';
import { Shadows } from '../shadows/shadows.js';
import { SnapshotStore } from '../snapshot/snapshot.store.js';
import { SpoolService } from '../spool/spool.service.js';
import { AnswerWriter } from './answer-writer.js';
import { carriedClass } from './data-class.js';
import type { ExchangeServices } from './exchange-services.js';
import { Exchange } from './exchange.js';
import { queueFull } from './failures.js';
import { Inference } from './inference.js';
import type { Ingress } from './ingress.js';
import { INGRESSES } from './ingresses.js';
import { CALLED } from './origin.js';
import { wrongTask } from './refusals.js';
import { unitHeaderOf } from '../resolve/unit.js';

/** The routes that generate or embed, one for each protocol that callers speak. In all of them `model` is the serving endpoint. */
@Injectable()
export class ChatRoutes {
  private readonly services: ExchangeServices;
  private readonly refused: Counter;

  constructor(
    routes: Routes,
    metrics: Metrics,
    spool: SpoolService,
    drain: Drain,
    private readonly lanes: ReplicaLanes,
    private readonly callers: Callers,
    private readonly limiter: Limiter,
    private readonly store: SnapshotStore,
    private readonly cache: AnswerCache,
    private readonly shadows: Shadows,
    @Inject(SETTINGS_TOKEN) private readonly settings: Settings,
    @Inject(LOGGER_TOKEN) logger: Logger,
  ) {
    this.refused = new Counter({
      name: 'catena_requests_refused_total',
      help: 'Requests to generate or to embed that were refused and have no row, by error code',
      labelNames: ['code'],
      registers: [metrics.registry],
    });
    this.services = {
      lanes,
      spool: spool.spool,
      logger,
      refused: this.refused,
      retriesDenied: new Counter({
        name: 'catena_retries_denied_total',
        help: 'Attempts not made because the retry budget of the model endpoint was spent',
        labelNames: ['model_endpoint'],
        registers: [metrics.registry],
      }),
      clocks: new StreamClocks(settings.CATENA_TTFT_TIMEOUT_MS, settings.CATENA_IDLE_TIMEOUT_MS),
      headersTimeoutMs: settings.CATENA_HEADERS_TIMEOUT_MS,
      totalTimeoutMs: settings.CATENA_TOTAL_TIMEOUT_MS,
      stallTimeoutMs: settings.CATENA_IDLE_TIMEOUT_MS,
      drain,
    };
    for (const ingress of INGRESSES)
      routes.add({
        method: 'POST',
        path: ingress.path,
        handle: (request, response) => this.complete(ingress, request, response),
      });
  }

  private complete(ingress: Ingress, request: IncomingMessage, response: ServerResponse): void {
    const startedMs = performance.now();
    if (!this.mayCall(ingress, request, response)) return;
    readBody(request, this.settings.CATENA_MAX_BODY_BYTES, (body) => {
      try {
        if (body instanceof GatewayError) throw body;
        // Once more: a body may take minutes to come, and its key may have ended meanwhile.
        this.admit(ingress, this.callers.identify(request), body, request, response, startedMs);
      } catch (error) {
        this.refuse(ingress, error, request, response);
      }
    });
  }

  private admit(
    ingress: Ingress,
    caller: Caller,
    body: Buffer,
    request: IncomingMessage,
    response: ServerResponse,
    startedMs: number,
  ): void {
    const idHeader = request.headers['x-client-request-id'] as string | undefined;
    const chat = ingress.readRequest(body, unitHeaderOf(request), idHeader);
    const endpoint = endpointFor(caller, this.store.current, chat.endpoint, 'invoke', 'model');
    const assigned = assignArm(endpoint, chat.unit, Math.random);
    const task = ingress.form?.task ?? 'generate';
    if (assigned.arm.chain.task !== task) throw wrongTask(endpoint.name, task);
    const dataClass = carriedClass(
      endpoint.dataClass,
      request.headers['x-catena-data-class'],
      chat.dataClass,
    );
    assertCleared(caller, dataClass);
    const lanes = this.lanes.in(endpoint.workspaceId);
    const isCached = endpoint.cacheTtlSeconds !== null && task === 'generate';
    const slot = isCached
      ? this.cache.slotFor({
          endpoint,
          chain: assigned.arm.chain,
          dataClass,
          protocol: ingress.path,
          body,
          cacheControl: request.headers['cache-control'],
        })
      : undefined;
    const origin = slot ? slot.origin : CALLED;
    const now = Date.now();
    const inference = new Inference(chat, endpoint, assigned, now, lanes, dataClass, caller, origin);
    if (slot) inference.cacheSlot = slot;
    if (!slot?.hit) {
      this.shedLoad(inference, lanes);
      // A split that keeps its shadows may have come to embed.
      if (endpoint.shadows && task === 'generate') {
        const original = { id: inference.id, endpoint, request: chat, dataClass, caller };
        inference.copies = this.shadows.copiesOf(original, this.services);
      }
    }
    const reserved = this.limiter.reserve(caller, endpoint, assigned.arm, inference, response);
    if (reserved instanceof Promise)
      reserved
        .then((reservation) => this.run(inference, reservation, request, response, startedMs))
        .catch((error: unknown) => this.refuse(ingress, error, request, response));
    else this.run(inference, reserved, request, response, startedMs);
  }

  private run(
    inference: Inference,
    reservation: Reservation | undefined,
    request: IncomingMessage,
    response: ServerResponse,
    startedMs: number,
  ): void {
    inference.reservation = reservation;
    const { cacheSlot } = inference;
    const { headers } = inference.identity;
    // An id of the inference's own is enough where the caller gives none.
    const requestId = givenRequestId(request) ?? inference.id;
    try {
      const recipient = new AnswerWriter(
        response,
        inference.id,
        requestId,
        cacheSlot ? [...headers, ...cacheSlot.headers] : headers,
        this.services,
        inference.request,
      );
      if (cacheSlot?.hit) new Replay(this.services, inference, cacheSlot.hit, recipient, startedMs).start();
      else new Exchange(this.services, inference, recipient, startedMs).start();
    } catch (error) {
      reservation?.release();
      throw error;
    }
  }

  /** Before the body is read: whoever may not call sends nothing that is kept. */
  private mayCall(ingress: Ingress, request: IncomingMessage, response: ServerResponse): boolean {
    try {
      this.callers.identify(request);
      return true;
    } catch (error) {
      this.refuse(ingress, error, request, response);
      return false;
    }
  }

  private refuse(ingress: Ingress, error: unknown, request: IncomingMessage, response: ServerResponse): void {
    if (error instanceof GatewayError) this.refused.inc({ code: error.code });
    failRequest(this.services.logger, request, response, error, ingress.writeError);
  }

  /** What would find the queue full and has nowhere else to go is turned away before it costs anything. */
  private shedLoad(inference: Inference, lanes: WorkspaceLanes): void {
    if (inference.generations > 1) return;
    const { modelEndpoint } = inference.generation;
    const lane = lanes.find(modelEndpoint);
    if (lane?.isFull) throw queueFull(modelEndpoint, lane).toError(modelEndpoint, undefined);
  }
}
