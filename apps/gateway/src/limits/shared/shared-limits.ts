import { Inject, Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import type { Settings } from '#libs/platform/config/settings.js';
import type { Logger } from '#libs/platform/log/logger.js';
import { Metrics } from '../../metrics/metrics.js';
import { LOGGER_TOKEN, SETTINGS_TOKEN } from '../../settings.module.js';
import { Budget } from '../budget.js';
import type { Meter } from '../meter.js';
import { RedisAwayError, RedisLink } from './redis-link.js';
import { Session } from './session.js';
import { SharedLimitMetrics } from './shared-limit-metrics.js';

/** After which a gateway that does not say it lives is dead, and what it has reserved is free again. */
const LEASE_MS = 10_000;
const BEAT_MS = 2_500;
/** Settlements that wait for Redis: some 100 bytes each. */
const MAX_PENDING = 100_000;

export interface Want {
  readonly meter: Meter;
  /** Undefined to be told of the meter only. */
  readonly amount: number | undefined;
}

/** What becomes of a reservation under one limit. */
export interface Settled {
  readonly meter: Meter;
  readonly used: number;
  /** What is reserved from now on; undefined is nothing. */
  readonly want: number | undefined;
}

/** A reservation in Redis. */
export interface Hold {
  readonly session: Session;
  readonly workspaceId: string;
  readonly id: string;
}

export type Verdict =
  | { readonly hold: Hold }
  | { readonly hold: undefined; readonly meter: Meter; readonly amount: number; readonly waitMs: number };

interface Settlement {
  readonly hold: Hold;
  /** Nothing is reserved any more. */
  readonly isLast: boolean;
  readonly entries: readonly Settled[];
}

/**
 * Limits as all gateways of a Redis share them: it decides, and the meters of this process follow what it says, so that
 * they can go on where it fails. docs/adr/0023-limits-through-redis.md
 */
@Injectable()
export class SharedLimits implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly link: RedisLink | undefined;
  readonly metrics: SharedLimitMetrics | undefined;
  private session = new Session();
  /** Sessions before it that may still have something reserved. */
  private readonly former = new Set<Session>();
  private lastId = 0;
  /** In the order in which they happened. */
  private pending: Settlement[] = [];
  private beats: NodeJS.Timeout | undefined;
  private readonly onReturn: (() => void)[] = [];

  constructor(
    @Inject(SETTINGS_TOKEN) private readonly settings: Settings,
    metrics: Metrics,
    @Inject(LOGGER_TOKEN) private readonly logger: Logger,
  ) {
    const url = settings.CATENA_REDIS_URL;
    if (url === undefined) return;
    this.metrics = new SharedLimitMetrics(metrics, () => ({
      isUp: this.isUp,
      pending: this.pending.length,
    }));
    this.link = new RedisLink(
      { url, prefix: settings.CATENA_REDIS_PREFIX, timeoutMs: settings.CATENA_REDIS_TIMEOUT_MS },
      { onUp: () => this.begin(), onDown: () => this.abandon() },
      this.metrics,
      logger,
    );
  }

  /** Whether there is a Redis to share limits through. */
  get isConfigured(): boolean {
    return this.link !== undefined;
  }

  /** Whether it answers. */
  get isUp(): boolean {
    return this.link !== undefined && this.link.isUp;
  }

  /** What decides while it does not answer. */
  get onFailure(): Settings['CATENA_REDIS_FAILURE'] {
    return this.settings.CATENA_REDIS_FAILURE;
  }

  /** For who asks how the gateway does; undefined where limits are not shared. */
  status(): { readonly redis: 'up' | 'away'; readonly whileAway: string } | undefined {
    return this.link && { redis: this.isUp ? 'up' : 'away', whileAway: this.onFailure };
  }

  /** Called when Redis is there, at first and again. */
  whenBack(listener: () => void): void {
    this.onReturn.push(listener);
  }

  /** The first requests find it connected; without Redis the start is not held up for long. */
  async onApplicationBootstrap(): Promise<void> {
    if (!this.link) return;
    this.beats = setInterval(() => this.beat(), BEAT_MS);
    this.beats.unref();
    await this.link.connect();
  }

  async onApplicationShutdown(): Promise<void> {
    if (!this.link) return;
    clearInterval(this.beats);
    if (this.pending.length > 0)
      this.logger.warn(
        { settlements: this.pending.length },
        'Redis is away: they are not brought to it any more',
      );
    this.former.add(this.session);
    const ending = Promise.all(
      [...this.former].flatMap((session) =>
        [...session.workspaces].map((workspaceId) => this.end(session, workspaceId)),
      ),
    );
    await Promise.race([ending, new Promise((resolve) => setTimeout(resolve, 500).unref())]);
    this.link.close();
  }

  /**
   * Reserves under all meters or none.
   * @param wants of one workspace.
   * @throws RedisAwayError where it does not answer in time.
   */
  async reserve(workspaceId: string, wants: readonly Want[]): Promise<Verdict> {
    let { session } = this;
    const id = String(++this.lastId);
    let reply = await this.askFor(workspaceId, session, id, wants);
    if (reply[0] === 'gone') {
      // Redis has lost its data, or took this gateway for dead.
      if (this.session === session) this.renew();
      session = this.session;
      reply = await this.askFor(workspaceId, session, id, wants);
      if (reply[0] === 'gone') throw new RedisAwayError('Redis loses its data.');
    }
    const nowMs = Date.now();
    const isAdmitted = reply[0] === '1';
    wants.forEach(({ meter, amount = 0 }, i) =>
      meter.adopt(reply[i + 3]!.split(' '), isAdmitted ? amount : 0, nowMs),
    );
    if (isAdmitted) {
      session.hold(workspaceId);
      return { hold: { session, workspaceId, id } };
    }
    const { meter, amount } = wants[Number(reply[1]) - 1]!;
    const waitMs = reply[2] === 'inf' ? Infinity : Number(reply[2]);
    return { hold: undefined, meter, amount: amount!, waitMs };
  }

  /** Says what is known here of budgets: Redis may have lost it, or was away while it was spent. */
  async tell(workspaceId: string, budgets: readonly Budget[]): Promise<void> {
    const { hold } = await this.reserve(
      workspaceId,
      budgets.map((meter) => ({ meter, amount: undefined })),
    );
    if (hold) this.settle(hold, []);
  }

  /** A request goes on elsewhere: what it reserves there is not asked for but told. */
  move(hold: Hold, entries: readonly Settled[]): void {
    this.deliver({ hold, entries, isLast: false }, false);
  }

  /** A request has ended. Sent again until Redis has it. */
  settle(hold: Hold, entries: readonly Settled[]): void {
    this.deliver({ hold, entries, isLast: true }, false);
  }

  private askFor(
    workspaceId: string,
    session: Session,
    id: string,
    wants: readonly Want[],
  ): Promise<readonly string[]> {
    const isNew = !session.workspaces.has(workspaceId);
    session.workspaces.add(workspaceId);
    const nowMs = Date.now();
    const args = ['reserve', id, String(LEASE_MS), isNew ? '1' : '0'];
    for (const { meter, amount } of wants)
      args.push(...meter.told(nowMs), amount === undefined ? '' : String(amount));
    const meters = wants.map(({ meter }) => meter);
    return this.link!.ask(this.keys(workspaceId, session, meters), args, (reply) => {
      // It was decided without: what is reserved here is nobody's.
      if (reply[0] !== '1') return;
      session.hold(workspaceId);
      const entries = wants.map(({ meter }) => ({ meter, used: 0, want: undefined }));
      this.settle({ session, workspaceId, id }, entries);
    });
  }

  /**
   * @param isLate Redis was away since: what it cost is in what this gateway tells of its budgets next, and in the rows.
   */
  private deliver(settlement: Settlement, isLate: boolean): void {
    const { hold, entries } = settlement;
    const { session, workspaceId, id } = hold;
    const nowMs = Date.now();
    const args = ['settle', id];
    for (const { meter, used, want } of entries) {
      const [kind, amount, scope, known] = meter.told(nowMs);
      const charged = isLate && meter instanceof Budget ? 0 : used;
      args.push(kind, amount, scope, known, String(charged), want === undefined ? '' : String(want));
    }
    const meters = entries.map(({ meter }) => meter);
    void this.sendSettlement(settlement, this.keys(workspaceId, session, meters), args);
  }

  private async sendSettlement(settlement: Settlement, keys: string[], args: string[]): Promise<void> {
    const { hold, entries, isLast } = settlement;
    let states;
    try {
      [, ...states] = await this.link!.send(keys, args);
    } catch {
      this.postpone(settlement);
      return;
    }
    if (isLast) hold.session.letGo(hold.workspaceId);
    const nowMs = Date.now();
    // There are none where nothing was left to settle.
    states.forEach((state, i) => entries[i]!.meter.adopt(state.split(' '), 0, nowMs));
  }

  private postpone(settlement: Settlement): void {
    if (this.pending.length < MAX_PENDING) {
      this.pending.push(settlement);
      return;
    }
    this.metrics!.lost.inc();
    const { hold, isLast } = settlement;
    if (isLast) hold.session.letGo(hold.workspaceId);
  }

  /** A new connection: what happened meanwhile comes first. */
  private begin(): void {
    const { pending } = this;
    this.pending = [];
    for (const settlement of pending) this.deliver(settlement, true);
    this.beat();
    for (const listener of this.onReturn) listener();
  }

  private abandon(): void {
    this.renew();
  }

  private renew(): void {
    if (this.session.workspaces.size > 0) this.former.add(this.session);
    this.session = new Session();
  }

  private beat(): void {
    if (!this.isUp) return;
    for (const workspaceId of this.session.workspaces) void this.renewLease(this.session, workspaceId);
    for (const session of this.former) {
      for (const workspaceId of session.workspaces)
        if (session.holds(workspaceId) > 0) void this.renewLease(session, workspaceId);
        else void this.end(session, workspaceId);
      if (session.workspaces.size === 0) this.former.delete(session);
    }
  }

  private async renewLease(session: Session, workspaceId: string): Promise<void> {
    const reply = await this.sent(session, workspaceId, ['beat', String(LEASE_MS), '0']);
    if (reply?.[0] !== 'gone') return;
    if (session === this.session) this.renew();
    session.workspaces.delete(workspaceId);
  }

  private async end(session: Session, workspaceId: string): Promise<void> {
    if (await this.sent(session, workspaceId, ['end'])) session.workspaces.delete(workspaceId);
  }

  /** @returns undefined where Redis is gone: the next connection begins with beats of its own. */
  private async sent(
    session: Session,
    workspaceId: string,
    args: string[],
  ): Promise<readonly string[] | undefined> {
    try {
      return await this.link!.send(this.keys(workspaceId, session), args);
    } catch {
      return undefined;
    }
  }

  /** All with the workspace as hash tag: what a script uses has to be in one slot of a cluster. */
  private keys(workspaceId: string, session: Session, meters: readonly Meter[] = []): string[] {
    const space = `${this.settings.CATENA_REDIS_PREFIX}:{${workspaceId}}`;
    return [
      `${space}:sessions`,
      `${space}:held:${session.id}`,
      ...meters.map(({ limit }) => `${space}:limit:${limit.id}`),
    ];
  }
}
