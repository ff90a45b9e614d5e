import type { TokenPrices } from '#libs/core/cost/cost.js';
import type { ClosingMeta } from '../spool/record.js';
import { costsOf, type Demand } from './demand.js';
import type { LimitMetric } from './limit-record.js';
import type { Meter } from './meter.js';

/** What an inference used, as its row says it. */
export type Use = Pick<
  ClosingMeta,
  'status' | 'attempts' | 'modelEndpoint' | 'inputTokens' | 'outputTokens' | 'costMicroUsd'
>;

/** Where something runs. */
export interface Place {
  /** Name of a model endpoint. */
  readonly modelEndpoint: string;
  readonly model: string;
}

/** What a reservation has to know of other model endpoints of its workspace. */
export interface PlaceFinder {
  metersAt(modelEndpoint: string): readonly Meter[];
  /** Undefined where nothing is known of them. */
  pricesAt(place: Place): TokenPrices | undefined;
}

/** What one request has reserved under the limits that hold for it. */
export class Reservation {
  private isOpen = true;

  constructor(
    /** They hold wherever it runs. */
    private readonly own: readonly Meter[],
    /** Of the model endpoint. */
    private there: readonly Meter[],
    private modelEndpoint: string,
    /** Undefined where only requests are counted. */
    private demand: Demand | undefined,
    private readonly finder: PlaceFinder,
  ) {}

  /** Whether it may fall back to a place: what it costs there, and what is limited there, has room. */
  mayMoveTo(place: Place): boolean {
    const nowMs = Date.now();
    const demand = this.demandAt(place);
    const isElsewhere = place.modelEndpoint !== this.modelEndpoint;
    for (const meter of isElsewhere ? this.own : [...this.own, ...this.there]) {
      const more = amountOf(meter, demand) - amountOf(meter, this.demand);
      if (more > 0 && meter.waitMs(more, nowMs) > 0) return false;
    }
    return (
      !isElsewhere ||
      this.finder
        .metersAt(place.modelEndpoint)
        .every((meter) => meter.waitMs(amountOf(meter, demand), nowMs) === 0)
    );
  }

  /** It falls back to a place: reserves there, and frees what it has reserved where it failed. */
  moveTo(place: Place): void {
    const nowMs = Date.now();
    const before = this.demand;
    this.demand = this.demandAt(place);
    for (const meter of this.own) {
      meter.settle(amountOf(meter, before), 0, nowMs);
      meter.reserve(amountOf(meter, this.demand), nowMs);
    }
    for (const meter of this.there)
      meter.settle(amountOf(meter, before), meter.limit.metric === 'requests' ? 1 : 0, nowMs);
    this.modelEndpoint = place.modelEndpoint;
    this.there = this.finder.metersAt(place.modelEndpoint);
    for (const meter of this.there) meter.reserve(amountOf(meter, this.demand), nowMs);
  }

  /** It has ended: what it used takes the place of what it reserved. */
  settle(use: Use): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    const nowMs = Date.now();
    for (const meter of this.own) meter.settle(amountOf(meter, this.demand), this.used(meter, use), nowMs);
    // It may have fallen back, and ended before anything was sent there.
    const ranHere = use.modelEndpoint === null || use.modelEndpoint === this.modelEndpoint;
    for (const meter of this.there)
      meter.settle(amountOf(meter, this.demand), ranHere ? this.used(meter, use) : 0, nowMs);
  }

  /** It was not admitted after all, and has used nothing. */
  release(): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    const nowMs = Date.now();
    for (const meter of this.own) meter.settle(amountOf(meter, this.demand), 0, nowMs);
    for (const meter of this.there) meter.settle(amountOf(meter, this.demand), 0, nowMs);
  }

  private demandAt(place: Place): Demand | undefined {
    const { demand } = this;
    if (demand === undefined) return undefined;
    const { promptTokens, outputTokens } = demand;
    const prices = this.finder.pricesAt(place);
    return {
      promptTokens,
      outputTokens,
      ...costsOf(promptTokens, outputTokens, prices),
    };
  }

  /**
   * Where nobody says what it used: an answer did at most what was reserved; a caller that left before any of it has
   * had the prompt read; a failure costs nothing.
   */
  private used({ limit: { metric } }: Meter, use: Use): number {
    if (metric === 'requests') return 1;
    const known = metric === 'tokens' ? tokensOf(use) : use.costMicroUsd;
    if (known !== null) return known;
    const { demand } = this;
    if (demand === undefined || use.status === 'error' || use.attempts === 0) return 0;
    if (use.status === 'ok') return amountIn(metric, demand);
    return metric === 'tokens' ? demand.promptTokens : demand.promptCostMicroUsd;
  }
}

/** What a request reserves of a meter. */
export function amountOf({ limit: { metric } }: Meter, demand: Demand | undefined): number {
  if (metric === 'requests') return 1;
  return demand === undefined ? 0 : amountIn(metric, demand);
}

function amountIn(metric: Exclude<LimitMetric, 'requests'>, demand: Demand): number {
  return metric === 'tokens' ? demand.promptTokens + demand.outputTokens : demand.costMicroUsd;
}

function tokensOf({ inputTokens, outputTokens }: Use): number | null {
  return inputTokens === null && outputTokens === null ? null : (inputTokens ?? 0) + (outputTokens ?? 0);
}
