import { describe, expect, it } from 'vitest';
import { bucketOf, saltPrefix } from '#libs/core/assignment/assign.js';
import type { ServedArm, ServedShadow } from '../snapshot/snapshot.js';
import { sampled } from './sampled.js';

const shadow = (name: string, sampleBps: number): ServedShadow => ({
  arm: { name, weightBps: 0 } as ServedArm,
  sampleBps,
  saltPrefix: saltPrefix(`salt:${name}`),
});
const never = (): number => {
  throw new Error('Nothing is drawn for a unit.');
};
const units = Array.from({ length: 20_000 }, (_, n) => `user-${n}`);

describe('which shadows get a copy', () => {
  it('is the same for a unit each time, and a share of units near the one asked for', () => {
    const one = [shadow('a', 1500)];
    const first = units.filter((unit) => sampled(one, unit, never).length === 1);
    expect(units.filter((unit) => sampled(one, unit, never).length === 1)).toEqual(first);
    expect(first.length / units.length).toBeCloseTo(0.15, 1);
    expect(units.filter((unit) => sampled([shadow('a', 10_000)], unit, never).length === 0)).toEqual([]);
  });

  it('loses no unit when the share grows', () => {
    const some = (bps: number) =>
      new Set(units.filter((unit) => sampled([shadow('a', bps)], unit, never).length));
    const [few, many] = [some(300), some(900)];
    expect([...few].filter((unit) => !many.has(unit))).toEqual([]);
    expect(many.size).toBeGreaterThan(few.size);
  });

  it('has nothing to do with the other shadows, nor with the arms', () => {
    const a = new Set(units.filter((unit) => sampled([shadow('a', 5000)], unit, never).length));
    const b = units.filter((unit) => sampled([shadow('b', 5000)], unit, never).length);
    const arm = units.filter((unit) => bucketOf('salt', unit) < 5000);
    for (const others of [b, arm])
      expect(others.filter((unit) => a.has(unit)).length / others.length).toBeCloseTo(0.5, 1);
  });

  it('is drawn for each request and each shadow where there is no unit', () => {
    const draws = [0.1, 0.9, 0.49];
    const found = sampled([shadow('a', 5000), shadow('b', 5000), shadow('c', 5000)], undefined, () =>
      draws.shift()!,
    );
    expect(
      found.map(({ arm, bucket, sticky, assignment }) => [arm.name, bucket, sticky, assignment]),
    ).toEqual([
      ['a', 1000, false, 'random'],
      ['c', 4900, false, 'random'],
    ]);
  });

  it('tells the bucket that anyone can recompute', () => {
    const [found] = sampled([shadow('a', 10_000)], 'user-1', never);
    expect(found).toMatchObject({ bucket: bucketOf('salt:a', 'user-1'), sticky: true, assignment: 'split' });
  });
});
