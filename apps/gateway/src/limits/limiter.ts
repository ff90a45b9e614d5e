import { Inject, Injectable } from '@nestjs/common';
import type { ServerResponse } from 'node:http';
import { pricesOf } from '#libs/core/cost/cost.js';
import type { Generation } from '#libs/core/content/types.js';
import type { Logger } from '#libs/platform/log/logger.js';
import type { Caller } from '../callers/caller.js';
import { Metrics } from '../metrics/metrics.js';
import { LOGGER_TOKEN } from '../settings.module.js';
import type { ServedArm, ServedEndpoint, Snapshot } from '../snapshot/snapshot.js';
import { SnapshotStore } from '../snapshot/snapshot.store.js';
import { findIn } from '../snapshot/workspace-key.js';
import { Budget } from './budget.js';
import { demandOf, maxOutputTokens, type Demand } from './demand.js';
import { LimitMetrics } from './limit-metrics.js';
import type { LimitRecord, LimitTarget } from './limit-record.js';
import type { Meter } from './meter.js';
import { refusedByLimit } from './refusal.js';
import { amountOf, Reservation, type Place, type PlaceFinder } from './reservation.js';
import { TokenBucket } from './token-bucket.js';

/** What asks to be admitted. */
export interface Applicant {
  readonly generation: Generation;
  /** What would be sent. */
  readonly body: Buffer;
  readonly choices: number;
  readonly request: { readonly fields: Readonly<Record<string, unknown>> };
}

/** Which limits hold for the requests of a caller that an arm answers. */
interface Plan {
  /** Of caller, team and endpoint. */
  readonly own: readonly Meter[];
  /** Of the model endpoint that comes first. */
  readonly there: readonly Meter[];
  readonly budgets: readonly Budget[];
  /** Whether tokens or cost count anywhere, in the fallbacks too. */
  readonly countsUse: boolean;
  readonly isEmpty: boolean;
  readonly finder: PlaceFinder;
}

const NO_METERS: readonly Meter[] = [];

/**
 * Holds callers to their limits, in this process. All of it is synchronous, so that what is looked at and what is
 * reserved cannot fall apart; how gateways may share limits nevertheless: docs/adr/0017-callers-and-limits.md.
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
    @Inject(LOGGER_TOKEN) private readonly logger: Logger,
  ) {
    this.metrics = new LimitMetrics(metrics, () => this.meters.values());
    store.onSwap((snapshot) => this.follow(snapshot));
    const current = store.find();
    if (current) this.follow(current);
  }

  /**
   * Reserves what a request may use at most, under all limits that hold for it or none.
   * @param response gets a header where a budget is nearly spent.
   * @returns undefined where no limit holds for it.
   * @throws GatewayError 429.
   */
  reserve(
    caller: Caller,
    endpoint: ServedEndpoint,
    arm: ServedArm,
    applicant: Applicant,
    response: ServerResponse,
  ): Reservation | undefined {
    if (this.meters.size === 0) return undefined;
    const plan = this.planOf(caller, endpoint, arm);
    if (plan.isEmpty) return undefined;
    const nowMs = Date.now();
    const { generation } = applicant;
    const demand = plan.countsUse
      ? demandOf(
          applicant.body,
          maxOutputTokens(generation.extraBody, generation.parameters, applicant.request.fields),
          applicant.choices,
          plan.finder.pricesAt(generation),
        )
      : undefined;
    this.assertRoom(plan, demand, nowMs);
    for (const meter of plan.own) meter.reserve(amountOf(meter, demand), nowMs);
    for (const meter of plan.there) meter.reserve(amountOf(meter, demand), nowMs);
    for (const budget of plan.budgets) tellAlert(budget, response);
    return new Reservation(plan.own, plan.there, generation.modelEndpoint, demand, plan.finder);
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
    const { generate, fallbacks = [] } = arm.chain.content;
    const there = finder.metersAt(generate.modelEndpoint);
    const elsewhere = fallbacks.flatMap(({ modelEndpoint }) => finder.metersAt(modelEndpoint));
    const all = [...own, ...there, ...elsewhere];
    return {
      own,
      there,
      budgets: [...own, ...there].filter((meter) => meter instanceof Budget),
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
    };
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

function targetKey(workspaceId: string, kind: LimitTarget, name: string): string {
  return `${workspaceId}/${kind}/${name}`;
}

/** Headers set before are dear, but this is one request of few. */
function tellAlert(budget: Budget, response: ServerResponse): void {
  const percent = budget.alertedPercent;
  if (percent === undefined) return;
  response.appendHeader('x-catena-budget-alert', `${budget.limit.name} ${percent}%`);
}
