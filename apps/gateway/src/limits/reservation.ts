import type { TokenPrices } from '#libs/core/cost/cost.js';
import type { ClosingMeta } from '../spool/record.js';
import { costsOf, estimatePromptTokens, type Demand } from './demand.js';
import type { LimitMetric } from './limit-record.js';
import type { Meter } from './meter.js';
import type { Settled } from './shared/shared-limits.js';

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
  /** Whether so much more can be reserved now. */
  hasRoom(meter: Meter, amount: number, nowMs: number): boolean;
}

/** The same reservation, where gateways share their limits. What was reserved under a meter that is not named is free. */
export interface SharedReservation {
  move(entries: readonly Settled[]): void;
  settle(entries: readonly Settled[]): void;
}

/** What one request has reserved under the limits that hold for it. */
export class Reservation {
  private isOpen = true;
  /** What is reserved now; nothing but the request itself between two attempts. */
  private held: Demand | undefined;
  /** Of the answers that went nowhere, as far as their row counts them. */
  private paidTokens = 0;
  private paidMicroUsd = 0;

  constructor(
    /** They hold wherever it runs. */
    private readonly own: readonly Meter[],
    /** Of the model endpoint. */
    private there: readonly Meter[],
    private modelEndpoint: string,
    /** Undefined where only requests are counted. */
    private demand: Demand | undefined,
    private readonly finder: PlaceFinder,
    private readonly shared?: SharedReservation,
  ) {
    this.held = demand;
  }

  /** Whether it may fall back to a place: what it costs there, and what is limited there, has room. */
  mayMoveTo(place: Place): boolean {
    const nowMs = Date.now();
    const demand = this.demandAt(place);
    const isElsewhere = place.modelEndpoint !== this.modelEndpoint;
    for (const meter of isElsewhere ? this.own : [...this.own, ...this.there]) {
      const more = amountOf(meter, demand) - amountOf(meter, this.held);
      if (more > 0 && !this.finder.hasRoom(meter, more, nowMs)) return false;
    }
    return (
      !isElsewhere ||
      this.finder
        .metersAt(place.modelEndpoint)
        .every((meter) => this.finder.hasRoom(meter, amountOf(meter, demand), nowMs))
    );
  }

  /** It falls back to a place: reserves there, and frees what it has reserved where it failed. */
  moveTo(place: Place): void {
    const nowMs = Date.now();
    const before = this.held;
    const left = this.there;
    this.demand = this.demandAt(place);
    this.held = this.demand;
    for (const meter of this.own) {
      meter.settle(amountOf(meter, before), 0, nowMs);
      meter.reserve(amountOf(meter, this.demand), nowMs);
    }
    for (const meter of left) meter.settle(amountOf(meter, before), failedUse(meter), nowMs);
    this.modelEndpoint = place.modelEndpoint;
    this.there = this.finder.metersAt(place.modelEndpoint);
    for (const meter of this.there) meter.reserve(amountOf(meter, this.demand), nowMs);
    this.shared?.move(this.moved(left));
  }

  /** An attempt was answered, and the answer goes nowhere: what it used takes the place of what was reserved. */
  answered(usage: Pick<Use, 'inputTokens' | 'outputTokens'>, costMicroUsd: number | null): void {
    const { held } = this;
    const nowMs = Date.now();
    const tokens = tokensOf(usage);
    const entries = [...this.own, ...this.there].map((meter) => {
      const { metric } = meter.limit;
      if (metric === 'requests') return { meter, used: 0, want: 1 };
      const reserved = amountOf(meter, held);
      const used = (metric === 'tokens' ? tokens : costMicroUsd) ?? reserved;
      meter.settle(reserved, used, nowMs);
      return { meter, used, want: 0 };
    });
    this.shared?.move(entries);
    this.paidTokens += tokens ?? 0;
    this.paidMicroUsd += costMicroUsd ?? 0;
    this.held = undefined;
  }

  /** Whether the place that has answered may be asked again, with this body. Where it may, that is reserved. */
  mayAskAgain(place: Place, body: Buffer): boolean {
    if (this.demand === undefined) return true;
    const nowMs = Date.now();
    const promptTokens = estimatePromptTokens(body);
    const { outputTokens } = this.demand;
    const costs = costsOf(promptTokens, outputTokens, this.finder.pricesAt(place));
    const demand = { promptTokens, outputTokens, ...costs };
    const counting = [...this.own, ...this.there].filter(({ limit }) => limit.metric !== 'requests');
    if (!counting.every((meter) => this.finder.hasRoom(meter, amountOf(meter, demand), nowMs))) return false;
    for (const meter of counting) meter.reserve(amountOf(meter, demand), nowMs);
    const all = [...this.own, ...this.there];
    this.shared?.move(all.map((meter) => ({ meter, used: 0, want: amountOf(meter, demand) })));
    this.held = demand;
    return true;
  }

  /** It has ended: what it used takes the place of what it reserved. */
  settle(use: Use): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    const nowMs = Date.now();
    for (const meter of this.own) meter.settle(amountOf(meter, this.held), this.used(meter, use), nowMs);
    // It may have fallen back, and ended before anything was sent there.
    const ranHere = use.modelEndpoint === null || use.modelEndpoint === this.modelEndpoint;
    for (const meter of this.there)
      meter.settle(amountOf(meter, this.held), ranHere ? this.used(meter, use) : 0, nowMs);
    this.shared?.settle(this.ended((meter, isThere) => (isThere && !ranHere ? 0 : this.used(meter, use))));
  }

  /** It was not admitted after all, and has used nothing. */
  release(): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    const nowMs = Date.now();
    for (const meter of this.own) meter.settle(amountOf(meter, this.held), 0, nowMs);
    for (const meter of this.there) meter.settle(amountOf(meter, this.held), 0, nowMs);
    this.shared?.settle(this.ended(() => 0));
  }

  private ended(usedOf: (meter: Meter, isThere: boolean) => number): Settled[] {
    return [
      ...this.own.map((meter) => ({ meter, used: usedOf(meter, false), want: undefined })),
      ...this.there.map((meter) => ({ meter, used: usedOf(meter, true), want: undefined })),
    ];
  }

  /** What that is to those who share the limits. @param left the meters where it failed. */
  private moved(left: readonly Meter[]): Settled[] {
    const wanted = [...this.own, ...this.there];
    return [
      ...wanted.map((meter) => ({
        meter,
        used: left.includes(meter) ? failedUse(meter) : 0,
        want: amountOf(meter, this.demand),
      })),
      ...left
        .filter((meter) => !this.there.includes(meter))
        .map((meter) => ({ meter, used: failedUse(meter), want: undefined })),
    ];
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
    const paid = metric === 'tokens' ? this.paidTokens : this.paidMicroUsd;
    if (known !== null) return Math.max(0, known - paid);
    const demand = this.held;
    if (demand === undefined || use.status === 'error' || use.attempts === 0) return 0;
    if (use.status === 'ok') return amountIn(metric, demand);
    return metric === 'tokens' ? demand.promptTokens : demand.promptCostMicroUsd;
  }
}

/** What a failed attempt uses where it failed. */
function failedUse({ limit: { metric } }: Meter): number {
  return metric === 'requests' ? 1 : 0;
}

/** What a request reserves of a meter. */
export function amountOf({ limit: { metric } }: Meter, demand: Demand | undefined): number {
  if (metric === 'requests') return 1;
  return demand === undefined ? 0 : amountIn(metric, demand);
}

function amountIn(metric: Exclude<LimitMetric, 'requests'>, demand: Demand): number {
  return metric === 'tokens' ? demand.promptTokens + demand.outputTokens : demand.costMicroUsd;
}

function tokensOf({ inputTokens, outputTokens }: Pick<Use, 'inputTokens' | 'outputTokens'>): number | null {
  return inputTokens === null && outputTokens === null ? null : (inputTokens ?? 0) + (outputTokens ?? 0);
}
