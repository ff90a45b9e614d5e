import { Inject, Injectable, type BeforeApplicationShutdown } from '@nestjs/common';
import { setTimeout as sleep } from 'node:timers/promises';
import { Counter, Gauge } from 'prom-client';
import type { DataClass } from '#libs/core/clearance/clearance.js';
import { generationsOf } from '#libs/core/content/chain.js';
import type { Settings } from '#libs/platform/config/settings.js';
import type { Logger } from '#libs/platform/log/logger.js';
import type { Caller } from '../callers/caller.js';
import type { ChatRequest } from '../chat/chat-request.js';
import type { ExchangeServices } from '../chat/exchange-services.js';
import { Exchange } from '../chat/exchange.js';
import { Inference } from '../chat/inference.js';
import { ReplicaLanes } from '../dispatch/replica-lanes.js';
import { GatewayError } from '../http/gateway-error.js';
import { Metrics } from '../metrics/metrics.js';
import { LOGGER_TOKEN, SETTINGS_TOKEN } from '../settings.module.js';
import type { ServedEndpoint } from '../snapshot/snapshot.js';
import { IdleLanes } from './idle-lane.js';
import { sampled, type Sampled } from './sampled.js';
import { ShadowRecipient, STOPPED } from './shadow-recipient.js';

/** Longest that the rows of copies given up may take to be closed when the gateway stops. */
const LAST_ROWS_MS = 1_000;
const CHECK_MS = 5;

/** Why a copy was not sent. It has no row. */
type DropReason =
  'busy' | 'failed' | 'misfit' | 'not_cleared' | 'spool' | 'stopping' | 'too_many' | 'unavailable';

/** What is copied. */
interface Original {
  readonly id: string;
  readonly endpoint: ServedEndpoint;
  readonly request: ChatRequest;
  readonly dataClass: DataClass;
  readonly caller: Caller;
}

/**
 * Sends copies of requests to shadows. A copy has a row of its own and answers nobody; whatever becomes of it, the
 * request it is a copy of does not notice. Why so, and what it gives up for that: docs/adr/0021-shadows-and-cache.md.
 */
@Injectable()
export class Shadows implements BeforeApplicationShutdown {
  private readonly running = new Set<ShadowRecipient>();
  private readonly sent: Counter;
  private readonly dropped: Counter<'reason'>;
  private isStopping = false;

  constructor(
    metrics: Metrics,
    private readonly lanes: ReplicaLanes,
    @Inject(SETTINGS_TOKEN) private readonly settings: Settings,
    @Inject(LOGGER_TOKEN) private readonly logger: Logger,
  ) {
    const registers = [metrics.registry];
    this.sent = new Counter({
      name: 'catena_shadows_sent_total',
      help: 'Copies of requests that were begun; each has a row',
      registers,
    });
    this.dropped = new Counter({
      name: 'catena_shadows_dropped_total',
      help: 'Copies of requests that were not sent and have no row, by reason',
      labelNames: ['reason'],
      registers,
    });
    const inFlight = () => this.inFlight;
    metrics.registry.registerMetric(
      new Gauge({
        name: 'catena_shadows_in_flight',
        help: 'Copies of requests under way',
        registers: [],
        collect() {
          this.set(inFlight());
        },
      }),
    );
  }

  /** Copies under way. */
  get inFlight(): number {
    return this.running.size;
  }

  /**
   * The copies that are to be made of a request; nothing is done before `send`.
   * @param services those of the request itself.
   */
  copiesOf(original: Original, services: ExchangeServices): { send(): void } | undefined {
    const { endpoint, request } = original;
    const found = sampled(endpoint.shadows!, request.unit, Math.random);
    if (found.length === 0) return undefined;
    return {
      // After what the event loop has to do for requests.
      send: () => setImmediate(() => found.forEach((shadow) => this.send(original, shadow, services))),
    };
  }

  /** Copies are given up at once: nobody waits for them, and whoever restarts a gateway waits for its end. */
  async beforeApplicationShutdown(): Promise<void> {
    this.isStopping = true;
    for (const recipient of this.running) recipient.leave(STOPPED);
    for (let waited = 0; waited < LAST_ROWS_MS && this.running.size > 0; waited += CHECK_MS)
      await sleep(CHECK_MS);
  }

  private send(original: Original, shadow: Sampled, services: ExchangeServices): void {
    try {
      const reason = this.start(original, shadow, services);
      if (reason) this.dropped.inc({ reason });
      else this.sent.inc();
    } catch (error) {
      this.dropped.inc({ reason: 'failed' });
      this.logger.error({ err: error, id: original.id, shadow: shadow.arm.name }, 'a copy could not be sent');
    }
  }

  /** @returns why it was not sent; then there is no row. */
  private start(original: Original, shadow: Sampled, services: ExchangeServices): DropReason | undefined {
    if (this.isStopping) return 'stopping';
    if (this.running.size >= this.settings.CATENA_SHADOW_MAX) return 'too_many';
    // While PostgreSQL is away, rows of copies are not to use up the room for those of requests.
    if (!services.spool.hasRoomToSpare) return 'spool';
    const { endpoint, request, dataClass, caller } = original;
    const lanes = this.lanes.in(endpoint.workspaceId);
    const generations = generationsOf(shadow.arm.chain.content);
    const first = generations.findIndex(({ modelEndpoint }) => lanes.mayRun(modelEndpoint, dataClass));
    if (first === -1) return 'not_cleared';
    const { modelEndpoint, model } = generations[first]!;
    const lane = lanes.find(modelEndpoint);
    if (!lane || lane.replicas.length === 0) return 'unavailable';
    if (!lane.isIdleFor(model)) return 'busy';
    let inference: Inference;
    try {
      inference = new Inference(request, endpoint, shadow, Date.now(), lanes, dataClass, caller, {
        shadowOf: original.id,
        cacheHit: null,
      });
    } catch (error) {
      if (error instanceof GatewayError) return 'misfit';
      throw error;
    }
    inference.fallBackTo(first);
    const recipient = new ShadowRecipient((finished) => this.running.delete(finished));
    const exchange = new Exchange(
      this.servicesFor(recipient, services),
      inference,
      recipient,
      performance.now(),
    );
    this.running.add(recipient);
    try {
      exchange.start();
      return undefined;
    } catch (error) {
      this.running.delete(recipient);
      if (error instanceof GatewayError) return 'spool';
      throw error;
    }
  }

  private servicesFor(recipient: ShadowRecipient, services: ExchangeServices): ExchangeServices {
    const { dropped } = this;
    return {
      ...services,
      lanes: new IdleLanes(this.lanes, recipient),
      refused: { inc: () => dropped.inc({ reason: 'spool' }) },
      retriesDenied: { inc: () => undefined },
    };
  }
}
