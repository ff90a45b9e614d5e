import { Inject, Injectable } from '@nestjs/common';
import type { ServerResponse } from 'node:http';
import { pricesOf } from '#libs/core/cost/cost.js';
import { generationsOf } from '#libs/core/content/chain.js';
import type { Generation } from '#libs/core/content/types.js';
import type { Logger } from '#libs/platform/log/logger.js';
import type { Caller } from '../callers/caller.js';
import { Metrics } from '../metrics/metrics.js';
import { LOGGER_TOKEN } from '../settings.module.js';
import type { ServedArm, ServedEndpoint, Snapshot } from '../snapshot/snapshot.js';
import { SnapshotStore } from '../snapshot/snapshot.store.js';
import { findIn } from '../snapshot/workspace-key.js';
import { Budget } from './budget.js';
import { demandOf, type Demand } from './demand.js';
import { LimitMetrics } from './limit-metrics.js';
import type { LimitRecord, LimitTarget } from './limit-record.js';
import type { Meter } from './meter.js';
import { limitsUnavailable, refusedByLimit } from './refusal.js';
import { amountOf, Reservation, type Place, type PlaceFinder } from './reservation.js';
import { RedisAwayError } from './shared/redis-link.js';
import { SharedLimits, type Want } from './shared/shared-limits.js';
import { TokenBucket } from './token-bucket.js';

/** What asks to be admitted. */
export interface Applicant {
  readonly generation: Generation;
  /** What would be sent. */
  readonly body: Buffer;
  readonly choices: number;
  /** Of one choice. */
  readonly maxOutputTokens: number;
}

/** Which limits hold for the requests of a caller that an arm answers. */
interface Plan {
  /** Of caller, team and endpoint. */
  readonly own: readonly Meter[];
  /** Of the model endpoint that comes first. */
  readonly there: readonly Meter[];
  readonly budgets: readonly Budget[];
  /** Of fallbacks only: what they hold is to be known when one is needed. Empty where limits are not shared. */
  readonly elsewhere: readonly Meter[];
  /** Whether any of its limits refuses. */
  readonly canRefuse: boolean;
  /** Whether tokens or cost count anywhere, in the fallbacks too. */
  readonly countsUse: boolean;
  readonly isEmpty: boolean;
  readonly finder: PlaceFinder;
}

const NO_METERS: readonly Meter[] = [];
/** Budgets in one script, so that it is short. */
const TOLD_AT_ONCE = 100;

/**
 * Holds callers to their limits. In this process all of it is synchronous, so that what is looked at and what is
 * reserved cannot fall apart. Where gateways share limits, Redis decides in one step, and the meters follow it.
 */
@Injectable()
export class Limiter {
  private limits: Snapshot['limits'] | undefined;
  private snapshot: Snapshot | undefined;
  /** By id of the limit: what was used outlives snapshots. */
  private meters = new Map<string, Meter>();
  /** See `targetKey`. */
  private byTarget = new Map<string, Meter[]>();
  private plans = new WeakMap<Caller, WeakMap<ServedArm, Plan>>();
  private readonly metrics: LimitMetrics;
  private onNewBudget: () => void = () => undefined;

  constructor(
    store: SnapshotStore,
    metrics: Metrics,
    private readonly shared: SharedLimits,
    @Inject(LOGGER_TOKEN) private readonly logger: Logger,
  ) {
    this.metrics = new LimitMetrics(metrics, () => this.meters.values());
    shared.whenBack(() => void this.tellBudgets());
    store.onSwap((snapshot) => this.follow(snapshot));
    const current = store.find();
    if (current) this.follow(current);
  }

  /**
   * Reserves what a request may use at most, under all limits that hold for it or none.
   * @param response gets a header where a budget is nearly spent.
   * @returns undefined where no limit holds for it; a promise only where Redis is asked, which rejects as this throws.
   * @throws GatewayError 429; 503 where Redis is away, and nothing is to pass without it.
   */
  reserve(
    caller: Caller,
    endpoint: ServedEndpoint,
    arm: ServedArm,
    applicant: Applicant,
    response: ServerResponse,
  ): Reservation | undefined | Promise<Reservation> {
    if (this.meters.size === 0) return undefined;
    const plan = this.planOf(caller, endpoint, arm);
    if (plan.isEmpty) return undefined;
    const { generation } = applicant;
    const demand = plan.countsUse
      ? demandOf(
          applicant.body,
          applicant.maxOutputTokens,
          applicant.choices,
          plan.finder.pricesAt(generation),
        )
      : undefined;
    if (this.shared.isUp) return this.reserveShared(plan, demand, endpoint.workspaceId, generation, response);
    if (this.shared.isConfigured) return this.reserveWithout(plan, demand, generation, response);
    const nowMs = Date.now();
    this.assertRoom(plan, demand, nowMs);
    return this.reserveHere(plan, demand, generation, response, nowMs);
  }

  /** The meters of what is limited. */
  find(workspaceId: string, kind: LimitTarget, name: string): readonly Meter[] {
    return this.byTarget.get(targetKey(workspaceId, kind, name)) ?? NO_METERS;
  }

  /** Budgets, for who reads from the rows what was spent. */
  budgets(): Budget[] {
    return [...this.meters.values()].filter((meter) => meter instanceof Budget);
  }

  /** Called when there is a budget that was not there before. */
  whenNewBudget(listener: () => void): void {
    this.onNewBudget = listener;
    if (this.budgets().length > 0) listener();
  }

  /** Whoever has seen the most of a budget is right, and each gateway has seen something. */
  private async tellBudgets(): Promise<void> {
    const budgets = Map.groupBy(this.budgets(), ({ limit }) => limit.workspaceId);
    try {
      for (const [workspaceId, all] of budgets)
        for (let i = 0; i < all.length; i += TOLD_AT_ONCE)
          await this.shared.tell(workspaceId, all.slice(i, i + TOLD_AT_ONCE));
    } catch (error) {
      // It is gone again; the next connection tells them too.
      this.logger.debug({ err: error }, 'budgets could not be told to Redis');
    }
  }

  private follow(snapshot: Snapshot): void {
    this.snapshot = snapshot;
    // Prices, teams of keys and fallbacks of arms may have changed too.
    this.plans = new WeakMap();
    if (snapshot.limits === this.limits) return;
    this.limits = snapshot.limits;
    const before = this.meters;
    this.meters = new Map();
    this.byTarget = new Map();
    let hasNewBudget = false;
    for (const limit of snapshot.limits.values()) {
      let meter = before.get(limit.id);
      if (meter) meter.change(limit);
      else {
        meter = this.newMeter(limit);
        hasNewBudget ||= meter instanceof Budget;
      }
      this.meters.set(limit.id, meter);
      const key = targetKey(limit.workspaceId, limit.targetKind, limit.target);
      this.byTarget.set(key, [...(this.byTarget.get(key) ?? []), meter]);
    }
    if (hasNewBudget) this.onNewBudget();
  }

  private newMeter(limit: LimitRecord): Meter {
    const isBudget = limit.window === 'day' || limit.window === 'month';
    if (!isBudget) return new TokenBucket(limit, Date.now());
    return new Budget(limit, (budget) => {
      this.metrics.alerted(budget.limit);
      const { name, targetKind, target, metric, amount, window } = budget.limit;
      const spentPercent = budget.alertedPercent;
      this.logger.warn(
        { limit: name, targetKind, target, metric, amount, window, spentPercent },
        'a budget is nearly spent',
      );
    });
  }

  private planOf(caller: Caller, endpoint: ServedEndpoint, arm: ServedArm): Plan {
    let byArm = this.plans.get(caller);
    if (!byArm) this.plans.set(caller, (byArm = new WeakMap()));
    let plan = byArm.get(arm);
    if (!plan) byArm.set(arm, (plan = this.newPlan(caller, endpoint, arm)));
    return plan;
  }

  private newPlan({ workspaceId, name, team }: Caller, endpoint: ServedEndpoint, arm: ServedArm): Plan {
    const finder = this.finderOf(workspaceId);
    const own = [
      ...(name === null ? NO_METERS : this.find(workspaceId, 'apiKey', name)),
      ...(team === null ? NO_METERS : this.find(workspaceId, 'team', team)),
      ...this.find(workspaceId, 'endpoint', endpoint.name),
    ];
    const [first, ...fallbacks] = generationsOf(arm.chain.content);
    const there = finder.metersAt(first.modelEndpoint);
    const elsewhere = fallbacks.flatMap(({ modelEndpoint }) => finder.metersAt(modelEndpoint));
    const all = [...own, ...there, ...elsewhere];
    return {
      own,
      there,
      budgets: [...own, ...there].filter((meter) => meter instanceof Budget),
      elsewhere: this.shared.isConfigured
        ? [...new Set(elsewhere)].filter((meter) => !there.includes(meter))
        : NO_METERS,
      canRefuse: all.some(canRefuse),
      countsUse: all.some((meter) => meter.limit.metric !== 'requests'),
      isEmpty: all.length === 0,
      finder,
    };
  }

  private finderOf(workspaceId: string): PlaceFinder {
    return {
      metersAt: (modelEndpoint) => this.find(workspaceId, 'modelEndpoint', modelEndpoint),
      pricesAt: ({ modelEndpoint, model }: Place) => {
        const found = findIn(this.snapshot!.modelEndpoints, workspaceId, modelEndpoint);
        return found && pricesOf(found.prices, model);
      },
      hasRoom: (meter, amount, nowMs) => this.hasRoom(meter, amount, nowMs),
    };
  }

  private reserveHere(
    plan: Plan,
    demand: Demand | undefined,
    { modelEndpoint }: Generation,
    response: ServerResponse,
    nowMs: number,
  ): Reservation {
    for (const meter of plan.own) meter.reserve(amountOf(meter, demand), nowMs);
    for (const meter of plan.there) meter.reserve(amountOf(meter, demand), nowMs);
    for (const budget of plan.budgets) tellAlert(budget, response);
    return new Reservation(plan.own, plan.there, modelEndpoint, demand, plan.finder);
  }

  private async reserveShared(
    plan: Plan,
    demand: Demand | undefined,
    workspaceId: string,
    generation: Generation,
    response: ServerResponse,
  ): Promise<Reservation> {
    const wanted = (meter: Meter): Want => ({ meter, amount: amountOf(meter, demand) });
    const watched = (meter: Meter): Want => ({ meter, amount: undefined });
    const wants = [...plan.own.map(wanted), ...plan.there.map(wanted), ...plan.elsewhere.map(watched)];
    let verdict;
    try {
      verdict = await this.shared.reserve(workspaceId, wants);
    } catch (error) {
      if (!(error instanceof RedisAwayError)) throw error;
      return this.reserveWithout(plan, demand, generation, response);
    }
    const { hold } = verdict;
    if (!hold) {
      const { meter, amount, waitMs } = verdict;
      this.metrics.refused(meter.limit);
      throw refusedByLimit(meter, amount, waitMs, Date.now());
    }
    for (const budget of plan.budgets) tellAlert(budget, response);
    return new Reservation(plan.own, plan.there, generation.modelEndpoint, demand, plan.finder, {
      move: (entries) => this.shared.move(hold, entries),
      settle: (entries) => this.shared.settle(hold, entries),
    });
  }

  /** Redis is away: what the settings say is what happens. */
  private reserveWithout(
    plan: Plan,
    demand: Demand | undefined,
    generation: Generation,
    response: ServerResponse,
  ): Reservation {
    const { onFailure, metrics } = this.shared;
    const nowMs = Date.now();
    for (const meters of [plan.own, plan.there]) for (const meter of meters) meter.standAlone();
    try {
      if (onFailure === 'closed' && plan.canRefuse) throw limitsUnavailable();
      if (onFailure === 'local') this.assertRoom(plan, demand, nowMs);
    } catch (error) {
      metrics!.withoutRedis.inc({ decision: 'refused' });
      throw error;
    }
    metrics!.withoutRedis.inc({ decision: 'admitted' });
    return this.reserveHere(plan, demand, generation, response, nowMs);
  }

  /** For a fallback, which does not wait for Redis: as its meters stood when the request was let in, or later. */
  private hasRoom(meter: Meter, amount: number, nowMs: number): boolean {
    const { isConfigured, isUp, onFailure } = this.shared;
    if (isConfigured && !isUp) {
      if (onFailure === 'open') return true;
      if (onFailure === 'closed' && canRefuse(meter)) return false;
    }
    return meter.waitMs(amount, nowMs) === 0;
  }

  /** @throws GatewayError 429, of the limit that has room last. */
  private assertRoom(plan: Plan, demand: Demand | undefined, nowMs: number): void {
    let longestMs = 0;
    let refusing: Meter | undefined;
    for (const meters of [plan.own, plan.there])
      for (const meter of meters) {
        const waitMs = meter.waitMs(amountOf(meter, demand), nowMs);
        if (waitMs <= longestMs) continue;
        longestMs = waitMs;
        refusing = meter;
      }
    if (!refusing) return;
    this.metrics.refused(refusing.limit);
    throw refusedByLimit(refusing, amountOf(refusing, demand), longestMs, nowMs);
  }
}

function canRefuse(meter: Meter): boolean {
  return !(meter instanceof Budget) || meter.limit.hardStop;
}

function targetKey(workspaceId: string, kind: LimitTarget, name: string): string {
  return `${workspaceId}/${kind}/${name}`;
}

/** Headers set before are dear, but this is one request of few. */
function tellAlert(budget: Budget, response: ServerResponse): void {
  const percent = budget.alertedPercent;
  if (percent === undefined) return;
  // Who has left while Redis was asked hears nothing.
  if (!response.headersSent)
    response.appendHeader('x-catena-budget-alert', `${budget.limit.name} ${percent}%`);
}
