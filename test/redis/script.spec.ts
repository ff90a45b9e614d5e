import { createClient } from '@redis/client';
import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Budget } from '../../apps/gateway/src/limits/budget.js';
import type { LimitRecord } from '../../apps/gateway/src/limits/limit-record.js';
import type { Meter } from '../../apps/gateway/src/limits/meter.js';
import { LIMIT_SCRIPT } from '../../apps/gateway/src/limits/shared/limit-script.js';
import { TokenBucket } from '../../apps/gateway/src/limits/token-bucket.js';
import { DEFAULT_WORKSPACE_ID } from '../../libs/platform/database/default-workspace.js';
import { RedisServer } from './server.js';

/** The same script, by a clock that the test sets. */
const BY_TEST_CLOCK = LIMIT_SCRIPT.replace("redis.call('TIME')", "{ redis.call('GET', 'clock'), 0 }");
const T0 = Date.UTC(2026, 10, 22, 23, 59, 30);
const LEASE_MS = 10_000;

type Window = LimitRecord['window'];
const limit = (window: Window, amount: number, id = '1', fields: Partial<LimitRecord> = {}): LimitRecord => ({
  id,
  workspaceId: DEFAULT_WORKSPACE_ID,
  name: 'l',
  targetKind: 'endpoint',
  target: 'chat',
  metric: 'tokens',
  window,
  amount,
  hardStop: true,
  alertPercent: null,
  ...fields,
});
const meterOf = (record: LimitRecord, nowMs: number): Meter =>
  record.window === 'day' || record.window === 'month'
    ? new Budget(record, () => undefined)
    : new TokenBucket(record, nowMs);

describe('the script that Redis runs', () => {
  let server: RedisServer;
  let client: ReturnType<typeof newClient>;
  const newClient = () => createClient({ url: server.url, socket: { reconnectStrategy: false } });
  beforeAll(async () => {
    server = await RedisServer.start();
    client = newClient();
    await client.connect();
  });
  afterAll(async () => {
    client.destroy();
    await server.stop();
  });
  beforeEach(() => client.flushAll());

  const run = async (session: string, meters: readonly string[], args: readonly string[]) =>
    (await client.eval(BY_TEST_CLOCK, {
      keys: ['{w}:sessions', `{w}:held:${session}`, ...meters.map((id) => `{w}:limit:${id}`)],
      arguments: [...args],
    })) as unknown as string[];
  const at = (nowMs: number) => client.set('clock', String(nowMs / 1000));
  const reserve = async (
    session: string,
    id: string,
    nowMs: number,
    wants: readonly [Meter, number | ''][],
  ) => {
    await at(nowMs);
    return run(
      session,
      wants.map(([meter]) => meter.limit.id),
      [
        'reserve',
        id,
        String(LEASE_MS),
        '1',
        ...wants.flatMap(([meter, want]) => [...meter.told(nowMs), String(want)]),
      ],
    );
  };
  const settle = async (
    session: string,
    id: string,
    nowMs: number,
    used: readonly [Meter, number, (number | '')?][],
  ) => {
    await at(nowMs);
    return run(
      session,
      used.map(([meter]) => meter.limit.id),
      [
        'settle',
        id,
        ...used.flatMap(([meter, amount, want = '']) => [
          ...meter.told(nowMs).slice(0, 4),
          String(amount),
          String(want),
        ]),
      ],
    );
  };
  const beat = async (session: string, nowMs: number, isNew = false) => {
    await at(nowMs);
    return run(session, [], ['beat', String(LEASE_MS), isNew ? '1' : '0']);
  };
  const state = async (id: string) =>
    ((await client.get(`{w}:limit:${id}`)) ?? '').split(' ').slice(1).map(Number);

  it('decides as the meters in process do, for any sequence of requests', async () => {
    const step = fc.record({
      gapMs: fc.oneof(fc.integer({ min: 0, max: 3_000 }), fc.integer({ min: 0, max: 90_000_000 })),
      amount: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 300 })),
      /** Share of it that is used; beyond 1 where the estimate was too low. */
      used: fc.double({ min: 0, max: 1.5, noNaN: true }),
      /** How many requests later it is settled. */
      after: fc.integer({ min: 0, max: 3 }),
      newAmount: fc.option(fc.integer({ min: 0, max: 400 }), { freq: 8 }),
    });
    const windows = fc.constantFrom<Window[]>('second', 'minute', 'hour', 'day', 'month');
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(fc.tuple(windows, fc.integer({ min: 0, max: 400 }), fc.boolean()), {
          minLength: 1,
          maxLength: 3,
          selector: ([window]) => window,
        }),
        fc.array(step, { maxLength: 25 }),
        async (limits, steps) => {
          await client.flushAll();
          let nowMs = T0;
          const records = limits.map(([window, amount, hardStop], i) =>
            limit(window, amount, String(i), { hardStop }),
          );
          const meters = records.map((record) => meterOf(record, nowMs));
          // What Redis is told: the limits as they are, and nothing else that is known here.
          const blank = () => meters.map((meter) => meterOf(meter.limit, nowMs));
          const open: { id: string; amount: number; used: number; due: number }[] = [];
          for (const [i, { gapMs, amount, used, after, newAmount }] of steps.entries()) {
            nowMs += gapMs;
            for (const meter of meters) meter.waitMs(0, nowMs);
            if (newAmount !== null) meters[0]!.change({ ...meters[0]!.limit, amount: newAmount });
            const waits = meters.map((meter) => meter.waitMs(amount, nowMs));
            const longest = Math.max(...waits);
            const [admitted, , wait] = await reserve(
              's',
              String(i),
              nowMs,
              blank().map((meter) => [meter, amount]),
            );
            expect(admitted).toBe(longest === 0 ? '1' : '0');
            if (longest === Infinity) expect(wait).toBe('inf');
            else expect(Number(wait)).toBeCloseTo(longest, 2);
            if (longest === 0) {
              for (const meter of meters) meter.reserve(amount, nowMs);
              open.push({ id: String(i), amount, used: Math.round(amount * used), due: i + after });
            }
            for (const request of open.filter(({ due }) => due <= i)) {
              open.splice(open.indexOf(request), 1);
              for (const meter of meters) meter.settle(request.amount, request.used, nowMs);
              await settle(
                's',
                request.id,
                nowMs,
                blank().map((meter) => [meter, request.used]),
              );
            }
          }
          nowMs += 1;
          const told = (
            await reserve(
              's',
              'last',
              nowMs,
              blank().map((meter) => [meter, '']),
            )
          ).slice(3);
          meters.forEach((meter, i) => {
            const [, a, , c, d] = told[i]!.split(' ').map(Number);
            const isRate = told[i]!.startsWith('r');
            const left = isRate
              ? Math.max(0, Math.floor(a! + 1e-6))
              : Math.max(0, meter.limit.amount - c! - d!);
            expect(Math.abs(left - meter.left(nowMs))).toBeLessThanOrEqual(isRate ? 1 : 0);
          });
        },
      ),
      { numRuns: 150 },
    );
  });

  it('knows days and months of the UTC calendar, whatever the year', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.date({
          min: new Date('2000-01-01T00:00:00Z'),
          max: new Date('2199-12-31T00:00:00Z'),
          noInvalidDate: true,
        }),
        async (date) => {
          await client.flushAll();
          const nowMs = Math.floor(date.getTime() / 1000) * 1000;
          for (const window of ['day', 'month'] as const) {
            const budget = new Budget(limit(window, 100, window), () => undefined);
            await reserve('s', window, nowMs, [[budget, 1]]);
            const { startMs, endMs } = budget.period(nowMs);
            expect(await state(window)).toEqual([startMs, endMs, 0, 1]);
          }
        },
      ),
      { numRuns: 200 },
    );
  });

  it('reserves under all limits or none', async () => {
    const [wide, narrow] = [meterOf(limit('hour', 100, 'wide'), T0), meterOf(limit('day', 10, 'narrow'), T0)];
    const [admitted, refusing, wait] = await reserve('s', '1', T0, [
      [wide, 50],
      [narrow, 50],
    ]);
    expect([admitted, refusing, wait]).toEqual(['0', '2', '30000']);
    expect(
      (
        await reserve('s', '2', T0, [
          [wide, 10],
          [narrow, 10],
        ])
      )[0],
    ).toBe('1');
    expect([(await state('wide'))[0], (await state('narrow'))[3]]).toEqual([90, 10]);
  });

  it('settles once, however often it is told', async () => {
    const rate = meterOf(limit('hour', 100, 'r'), T0);
    await reserve('s', '1', T0, [[rate, 60]]);
    expect(await settle('s', '1', T0, [[rate, 20]])).toMatchObject(['ok', expect.any(String)]);
    expect(await settle('s', '1', T0, [[rate, 20]])).toEqual(['done']);
    expect((await state('r'))[0]).toBe(80);
  });

  it('gives back what a dead gateway had reserved, and nothing of one that lives', async () => {
    const rate = () => meterOf(limit('hour', 100, 'r'), T0);
    const budget = () => meterOf(limit('month', 100, 'b'), T0);
    await reserve('dead', '1', T0, [
      [rate(), 30],
      [budget(), 30],
    ]);
    await reserve('dead', '2', T0, [
      [rate(), 5],
      [budget(), 5],
    ]);
    await reserve('lives', '1', T0, [
      [rate(), 10],
      [budget(), 10],
    ]);
    expect(await beat('lives', T0 + LEASE_MS - 1)).toEqual(['ok']);
    expect((await state('b'))[3]).toBe(45);
    expect(await beat('lives', T0 + LEASE_MS + 1)).toEqual(['ok']);
    expect((await state('b')).slice(2)).toEqual([0, 10]);
    expect((await state('r'))[0]).toBeCloseTo(90, 0);
    // It was not dead after all: it is told so, and pays for what it used.
    expect(await beat('dead', T0 + LEASE_MS + 2)).toEqual(['gone']);
    await settle('dead', '1', T0 + LEASE_MS + 2, [
      [rate(), 7],
      [budget(), 7],
    ]);
    expect((await state('b')).slice(2)).toEqual([7, 10]);
    expect(await client.exists('{w}:held:dead')).toBe(0);
  });

  it('moves what is reserved to where it falls back to, and frees all of it at the end', async () => {
    const own = meterOf(limit('day', 1000, 'own'), T0);
    const there = meterOf(limit('hour', 1000, 'there'), T0);
    const next = meterOf(limit('hour', 1000, 'next'), T0);
    await reserve('s', '1', T0, [
      [own, 100],
      [there, 100],
      [next, ''],
    ]);
    await settle('s', '1', T0, [
      [own, 0, 300],
      [next, 0, 300],
      [there, 1],
    ]);
    next.reserve(300, T0);
    expect([(await state('own'))[3], (await state('there'))[0]]).toEqual([300, 999]);
    await settle('s', '1', T0, [
      [own, 250],
      [next, 250],
    ]);
    expect((await state('own')).slice(2)).toEqual([250, 0]);
    expect(await client.hGetAll('{w}:held:s')).toEqual({});
  });

  it('keeps what is reserved while it is asked again, and pays each answer', async () => {
    const requests = meterOf(limit('hour', 10, 'requests'), T0);
    const tokens = meterOf(limit('day', 1000, 'tokens'), T0);
    await reserve('s', '1', T0, [
      [requests, 1],
      [tokens, 100],
    ]);
    // An answer in vain, and asking again.
    await settle('s', '1', T0, [
      [requests, 0, 1],
      [tokens, 40, 0],
    ]);
    await settle('s', '1', T0, [
      [requests, 0, 1],
      [tokens, 0, 150],
    ]);
    expect((await state('tokens')).slice(2)).toEqual([40, 150]);
    expect((await state('requests'))[0]).toBe(9);
    await settle('s', '1', T0, [
      [requests, 1],
      [tokens, 30],
    ]);
    expect((await state('tokens')).slice(2)).toEqual([70, 0]);
    expect((await state('requests'))[0]).toBe(9);
  });

  it('begins, where it knows nothing, with what the gateway has seen, and learns what it has spent meanwhile', async () => {
    const rate = meterOf(limit('hour', 100, 'r'), T0);
    const budget = meterOf(limit('day', 100, 'b'), T0);
    for (const meter of [rate, budget]) meter.settle(0, 60, T0);
    expect(
      (
        await reserve('s', '1', T0, [
          [rate, 41],
          [budget, 1],
        ])
      )[0],
    ).toBe('0');
    expect(
      (
        await reserve('s', '2', T0, [
          [rate, 1],
          [budget, 41],
        ])
      )[0],
    ).toBe('0');
    expect(
      (
        await reserve('s', '3', T0, [
          [rate, 40],
          [budget, 40],
        ])
      )[0],
    ).toBe('1');
    budget.settle(0, 10, T0);
    await reserve('s', '4', T0, [[budget, '']]);
    expect((await state('b'))[2]).toBe(70);
    // Less than all have seen is nothing new.
    await reserve('s', '5', T0, [[meterOf(limit('day', 100, 'b'), T0), '']]);
    expect((await state('b'))[2]).toBe(70);
  });

  it('keeps nothing for ever', async () => {
    await reserve('s', '1', T0, [
      [meterOf(limit('second', 100, 'r'), T0), 1],
      [meterOf(limit('month', 100, 'b'), T0), 1],
    ]);
    const end = async () => {
      for (const key of await client.keys('{w}*')) expect(await client.pTTL(key), key).toBeGreaterThan(0);
    };
    // Not only where somebody still beats.
    await end();
    await beat('s', T0);
    await end();
    await settle('s', '1', T0, [[meterOf(limit('month', 100, 'b'), T0), 0, 1]]);
    await end();
    expect(await client.pTTL('{w}:limit:r')).toBeLessThan(3_000);
  });

  it('says so of what it does not know', async () => {
    await at(T0);
    await expect(run('s', [], ['what'])).rejects.toThrow('no such operation');
  });
});
