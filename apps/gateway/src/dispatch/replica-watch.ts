import type { Logger } from '#libs/platform/log/logger.js';
import type { ReplicaClient } from './replica-client.js';
import type { ReplicaLane } from './replica-lane.js';
import type { Replica } from './replica.js';

export interface WatchIntervals {
  /** Between two probes, in milliseconds; 0: none. */
  readonly probeMs: number;
  /** Between two looks at the load, in milliseconds; 0: none. */
  readonly loadMs: number;
}

/** Probes that fail in a row until a replica counts as down: one may be a busy moment. */
const PROBES_UNTIL_DOWN = 2;
/** Probes between two looks at the models. */
const PROBES_PER_MODELS = 10;
/** Intervals without an answer after which a load is stale; never less than the milliseconds below. */
const STALE_INTERVALS = 4;
const STALE_LEAST_MS = 1000;
/** How long the load of replicas that nobody asks for is still looked at. */
const IDLE_MS = 10_000;
/** The first probes of all replicas are spread over so much. */
const FIRST_WITHIN_MS = 250;
/** When to look again for metrics that were not there. */
const METRICS_AGAIN_MS = 30_000;
/** Times are spread by this share, so that replicas and gateways do not fall into step. */
const SPREAD = 0.2;

/**
 * Looks after one replica beside the request path: whether it lives, which models it serves, how busy it is. Only where
 * there is a choice: for the only replica of a model endpoint a probe could do no more than turn away what might work.
 */
export class ReplicaWatch {
  private probeTimer: NodeJS.Timeout | undefined;
  private loadTimer: NodeJS.Timeout | undefined;
  private stopped = false;
  private failedProbes = 0;
  private probesUntilModels = 0;
  /** `performance.now()` of the last load told. */
  private toldMs: number | undefined;
  private nextLoadMs = 0;
  private seenAdmitted = 0;
  private askedMs = -IDLE_MS;

  constructor(
    private readonly lane: ReplicaLane,
    private readonly replica: Replica,
    private readonly client: ReplicaClient,
    private readonly intervals: WatchIntervals,
    private readonly logger: Logger,
  ) {}

  start(): void {
    const { probeMs, loadMs } = this.intervals;
    if (probeMs > 0) this.probeSoon(Math.random() * Math.min(probeMs, FIRST_WITHIN_MS));
    if (loadMs > 0) this.lookSoon(loadMs);
  }

  stop(): void {
    this.stopped = true;
    clearTimeout(this.probeTimer);
    clearTimeout(this.loadTimer);
  }

  /** Looks at its models with the next probe. */
  expectOtherModels(): void {
    this.probesUntilModels = 0;
  }

  private get isOneOfSeveral(): boolean {
    return this.lane.replicas.length > 1;
  }

  private probeSoon(inMs: number): void {
    if (this.stopped) return;
    this.probeTimer = setTimeout(() => {
      void this.safely(this.probe()).then(() => this.probeSoon(spread(this.intervals.probeMs)));
    }, inMs);
    this.probeTimer.unref();
  }

  private lookSoon(inMs: number): void {
    if (this.stopped) return;
    this.loadTimer = setTimeout(() => {
      void this.safely(this.look()).then(() => this.lookSoon(spread(this.intervals.loadMs)));
    }, inMs);
    this.loadTimer.unref();
  }

  /** A fault of the gateway's own must end neither the process nor the watch. */
  private safely(work: Promise<void>): Promise<void> {
    return work.catch((error: unknown) => {
      const { baseUrl } = this.replica;
      this.logger.error(
        { err: error, replica: baseUrl },
        'looking after a replica failed inside the gateway',
      );
    });
  }

  private async probe(): Promise<void> {
    if (!this.isOneOfSeveral) {
      this.setDown(false, undefined);
      return;
    }
    let cause: unknown;
    const isHealthy = await this.client.isHealthy().catch((error: unknown) => {
      cause = error;
      return false;
    });
    if (this.stopped) return;
    this.failedProbes = isHealthy ? 0 : this.failedProbes + 1;
    if (isHealthy) this.setDown(false, undefined);
    else if (this.failedProbes >= PROBES_UNTIL_DOWN) this.setDown(true, cause);
    if (isHealthy && this.lane.provider.listsModels && this.probesUntilModels-- <= 0)
      await this.lookAtModels();
  }

  private setDown(isDown: boolean, cause: unknown): void {
    const { lane, logger, replica } = this;
    if (isDown === replica.isDown) return;
    replica.isDown = isDown;
    const of = { modelEndpoint: lane.name, replica: replica.baseUrl };
    if (isDown)
      logger.warn({ ...of, err: cause }, 'a replica does not answer its probes and gets no requests');
    else logger.info(of, 'a replica answers its probes again');
    // What it served may have changed with it.
    this.expectOtherModels();
    lane.advance();
  }

  private async lookAtModels(): Promise<void> {
    this.probesUntilModels = PROBES_PER_MODELS;
    const { lane, replica } = this;
    const models = await this.client.listModels().catch((error: unknown) => {
      const of = { modelEndpoint: lane.name, replica: replica.baseUrl, err: error };
      this.logger.debug(of, 'a replica did not list its models; it is taken to serve all of them');
      return undefined;
    });
    if (this.stopped) return;
    replica.models = models;
    lane.compareModels();
  }

  private async look(): Promise<void> {
    const { lane, replica } = this;
    const nowMs = performance.now();
    if (lane.admitted !== this.seenAdmitted) this.askedMs = nowMs;
    this.seenAdmitted = lane.admitted;
    if (!this.isOneOfSeveral || nowMs - this.askedMs > IDLE_MS) {
      this.forget();
      return;
    }
    if (nowMs < this.nextLoadMs) return;
    try {
      const load = await this.client.readLoad();
      if (this.stopped) return;
      if (!load) {
        this.forget();
        this.nextLoadMs = performance.now() + METRICS_AGAIN_MS;
        return;
      }
      this.toldMs = performance.now();
      replica.isStale = false;
      replica.report(load);
    } catch {
      // Whether it lives is for the probes to say. What it told before is true no longer.
      const staleMs = Math.max(STALE_LEAST_MS, STALE_INTERVALS * this.intervals.loadMs);
      if (this.toldMs !== undefined && performance.now() - this.toldMs > staleMs) replica.isStale = true;
    }
  }

  private forget(): void {
    this.toldMs = undefined;
    this.replica.isStale = false;
    this.replica.report(undefined);
  }
}

function spread(ms: number): number {
  return ms * (1 + SPREAD * (2 * Math.random() - 1));
}
