import { describe, expect, it } from 'vitest';
import { DEFAULT_WORKSPACE_ID } from '#libs/platform/database/default-workspace.js';
import { Budget } from './budget.js';
import type { LimitMetric } from './limit-record.js';
import type { Meter } from './meter.js';
import { Reservation, type PlaceFinder, type Use, type SharedReservation } from './reservation.js';
import type { Settled } from './shared/shared-limits.js';

const AMOUNT = 1_000;
const budget = (metric: LimitMetric) =>
  new Budget(
    {
      id: metric,
      workspaceId: DEFAULT_WORKSPACE_ID,
      name: metric,
      targetKind: 'team',
      target: 'support',
      metric,
      window: 'month',
      amount: AMOUNT,
      hardStop: true,
      alertPercent: null,
    },
    () => undefined,
  );
const used = (meter: Budget) => AMOUNT - meter.left(Date.now());
const USE: Use = {
  status: 'ok',
  attempts: 1,
  modelEndpoint: 'own',
  inputTokens: 10,
  outputTokens: 5,
  costMicroUsd: 0,
};
const OWN = { modelEndpoint: 'own', model: 'm' };
const VENDOR = { modelEndpoint: 'vendor', model: 'm' };

/** A free model endpoint of one's own, and a vendor that takes 1 micro-USD a token. */
function world(shared?: SharedReservation) {
  const own = { tokens: budget('tokens'), cost: budget('costMicroUsd'), requests: budget('requests') };
  const at: Record<string, { tokens: Budget; requests: Budget }> = {
    own: { tokens: budget('tokens'), requests: budget('requests') },
    vendor: { tokens: budget('tokens'), requests: budget('requests') },
  };
  const finder: PlaceFinder = {
    metersAt: (name) => Object.values(at[name]!),
    pricesAt: ({ modelEndpoint }) =>
      modelEndpoint === 'own'
        ? { inputMicroUsdPerMillionTokens: 0, outputMicroUsdPerMillionTokens: 0 }
        : { inputMicroUsdPerMillionTokens: 1_000_000, outputMicroUsdPerMillionTokens: 1_000_000 },
    hasRoom: (meter, amount, nowMs) => meter.waitMs(amount, nowMs) === 0,
  };
  const demand = { promptTokens: 100, outputTokens: 100, costMicroUsd: 0, promptCostMicroUsd: 0 };
  for (const meter of [...Object.values(own), ...Object.values(at['own']!)])
    meter.reserve(
      meter.limit.metric === 'tokens' ? 200 : meter.limit.metric === 'requests' ? 1 : 0,
      Date.now(),
    );
  const reservation = new Reservation(
    Object.values(own),
    Object.values(at['own']!),
    'own',
    demand,
    finder,
    shared,
  );
  return { reservation, own, at };
}

describe('a reservation', () => {
  it('is settled once, on what was used', () => {
    const { reservation, own, at } = world();
    expect([used(own.tokens), used(at['own']!.tokens)]).toEqual([200, 200]);
    reservation.settle(USE);
    reservation.settle(USE);
    reservation.release();
    expect([used(own.tokens), used(at['own']!.tokens), used(own.requests)]).toEqual([15, 15, 1]);
  });

  it('that is released leaves nothing', () => {
    const { reservation, own, at } = world();
    reservation.release();
    expect([used(own.tokens), used(own.requests), used(at['own']!.requests)]).toEqual([0, 0, 0]);
  });

  it.each<[string, Partial<Use>, number]>([
    ['an answer that tells no tokens', {}, 200],
    ['a caller that left before any of it', { status: 'cancelled' }, 100],
    ['one that left before anything was sent', { status: 'cancelled', attempts: 0 }, 0],
    ['a failure', { status: 'error' }, 0],
    ['a failure that tells them', { status: 'error', inputTokens: 7, outputTokens: 0, costMicroUsd: 1 }, 7],
  ])('is settled for %s', (_what, fields, tokens) => {
    const { reservation, own } = world();
    reservation.settle({ ...USE, inputTokens: null, outputTokens: null, costMicroUsd: null, ...fields });
    expect(used(own.tokens)).toBe(tokens);
  });

  it('that moves to a vendor reserves what it costs there, and pays there', () => {
    const { reservation, own, at } = world();
    expect(reservation.mayMoveTo(VENDOR)).toBe(true);
    reservation.moveTo(VENDOR);
    expect([used(own.tokens), used(own.cost), used(own.requests)]).toEqual([200, 200, 1]);
    expect([used(at['own']!.tokens), used(at['own']!.requests)]).toEqual([0, 1]);
    expect([used(at['vendor']!.tokens), used(at['vendor']!.requests)]).toEqual([200, 1]);
    reservation.settle({ ...USE, modelEndpoint: 'vendor', costMicroUsd: 15 });
    expect([used(own.tokens), used(own.cost), used(at['vendor']!.tokens)]).toEqual([15, 15, 15]);
  });

  it('may not move where the vendor’s limit, or the money of its team, has no room', () => {
    const spent = world();
    spent.at['vendor']!.tokens.settle(0, 801, Date.now());
    expect(spent.reservation.mayMoveTo(VENDOR)).toBe(false);
    const poor = world();
    poor.own.cost.settle(0, 801, Date.now());
    expect(poor.reservation.mayMoveTo(VENDOR)).toBe(false);
    expect(poor.reservation.mayMoveTo(OWN)).toBe(true);
  });

  it('that moved and ended before anything was sent there frees what it has reserved there', () => {
    const { reservation, own, at } = world();
    reservation.moveTo(VENDOR);
    reservation.settle({
      ...USE,
      status: 'error',
      inputTokens: null,
      outputTokens: null,
      costMicroUsd: null,
    });
    expect([
      used(own.tokens),
      used(own.cost),
      used(at['vendor']!.tokens),
      used(at['vendor']!.requests),
    ]).toEqual([0, 0, 0, 0]);
  });

  it('that is answered in vain pays for it, and reserves anew to ask again', () => {
    const { reservation, own, at } = world();
    reservation.answered({ inputTokens: 80, outputTokens: 20 }, 0);
    expect([used(own.tokens), used(at['own']!.tokens), used(own.requests)]).toEqual([100, 100, 1]);
    const body = Buffer.alloc(300); // of 100 tokens, and 100 to come
    expect(reservation.mayAskAgain(OWN, body)).toBe(true);
    expect([used(own.tokens), used(at['own']!.tokens), used(own.requests)]).toEqual([300, 300, 1]);
    // The row counts both answers.
    reservation.settle({ ...USE, attempts: 2, inputTokens: 170, outputTokens: 40 });
    expect([used(own.tokens), used(at['own']!.tokens), used(own.requests)]).toEqual([210, 210, 1]);
  });

  it('that is answered in vain may not ask again beyond a limit, and keeps nothing reserved', () => {
    const { reservation, own } = world();
    reservation.answered({ inputTokens: 80, outputTokens: 20 }, 0);
    own.tokens.settle(0, 750, Date.now());
    expect(reservation.mayAskAgain(OWN, Buffer.alloc(300))).toBe(false);
    reservation.settle({ ...USE, status: 'error', inputTokens: 80, outputTokens: 20 });
    expect(used(own.tokens)).toBe(850);
  });

  it('that falls back after an answer in vain pays each where it was made', () => {
    const { reservation, own, at } = world();
    reservation.answered({ inputTokens: 80, outputTokens: 20 }, 0);
    reservation.moveTo(VENDOR);
    expect([used(own.tokens), used(own.cost)]).toEqual([300, 200]);
    reservation.settle({
      ...USE,
      modelEndpoint: 'vendor',
      attempts: 2,
      inputTokens: 90,
      outputTokens: 25,
      costMicroUsd: 15,
    });
    expect([used(own.tokens), used(own.cost), used(own.requests)]).toEqual([115, 15, 1]);
    expect([used(at['own']!.tokens), used(at['vendor']!.tokens)]).toEqual([100, 15]);
  });

  it('whose use nobody told pays what it had reserved', () => {
    const { reservation, own } = world();
    reservation.answered({ inputTokens: null, outputTokens: null }, null);
    reservation.mayAskAgain(OWN, Buffer.alloc(300));
    reservation.settle({ ...USE, inputTokens: 100, outputTokens: 5 });
    expect(used(own.tokens)).toBe(305);
  });

  it('tells those who share the limits the same as it counts itself, whatever becomes of it', () => {
    let held = new Map<Meter, number>();
    const spent = new Map<Meter, number>();
    // As the script that Redis runs: what was reserved is free, what is named is used and reserved.
    const take = (entries: readonly Settled[]) => {
      for (const { meter, used: more } of entries) spent.set(meter, (spent.get(meter) ?? 0) + more);
      held = new Map(entries.map(({ meter, want }) => [meter, want ?? 0]));
    };
    const { reservation, own, at } = world({ move: take, settle: take });
    const meters = [...Object.values(own), ...Object.values(at).flatMap((there) => Object.values(there))];
    const agree = () => {
      for (const meter of meters) expect((held.get(meter) ?? 0) + (spent.get(meter) ?? 0)).toBe(used(meter));
    };
    reservation.answered({ inputTokens: 80, outputTokens: 20 }, 0);
    agree();
    reservation.mayAskAgain(OWN, Buffer.alloc(300));
    agree();
    reservation.moveTo(VENDOR);
    agree();
    reservation.settle({
      ...USE,
      modelEndpoint: 'vendor',
      attempts: 3,
      inputTokens: 90,
      outputTokens: 25,
      costMicroUsd: 15,
    });
    agree();
    expect([...held.values()].every((amount) => amount === 0)).toBe(true);
  });
});
