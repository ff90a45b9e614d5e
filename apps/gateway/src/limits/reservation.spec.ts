import { describe, expect, it } from 'vitest';
import { DEFAULT_WORKSPACE_ID } from '#libs/platform/database/default-workspace.js';
import { Budget } from './budget.js';
import type { LimitMetric } from './limit-record.js';
import { Reservation, type PlaceFinder, type Use } from './reservation.js';

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
function world() {
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
  };
  const demand = { promptTokens: 100, outputTokens: 100, costMicroUsd: 0, promptCostMicroUsd: 0 };
  for (const meter of [...Object.values(own), ...Object.values(at['own']!)])
    meter.reserve(
      meter.limit.metric === 'tokens' ? 200 : meter.limit.metric === 'requests' ? 1 : 0,
      Date.now(),
    );
  const reservation = new Reservation(Object.values(own), Object.values(at['own']!), 'own', demand, finder);
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
});
