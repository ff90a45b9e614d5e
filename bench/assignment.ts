import { bucketOf, saltPrefix } from '#libs/core/assignment/assign.js';
import { murmur3 } from '#libs/core/assignment/murmur3.js';
import { armAt, compileRanges, deriveRanges } from '#libs/core/assignment/split.js';
import { compare } from './support/load.js';
import type { Row } from './support/report.js';

const UNITS = Array.from({ length: 4096 }, (_, index) => `customer-${(index * 2_654_435_761) % 1_000_003}`);
const SALT = '0192f1c5-7c1e-7a50-9d7c-2f6f0f7e5b11';
const SALTED = UNITS.map((unit) => `${SALT}:${unit}`);
const SECONDS = 0.5;

/** Assignment in process against bare murmur3 of the same string. */
export async function assignment(rounds: number): Promise<Row[]> {
  const ranges = compileRanges(
    deriveRanges([
      { name: 'a', weightBps: 3334 },
      { name: 'b', weightBps: 3333 },
      { name: 'c', weightBps: 3333 },
    ]),
  );
  const prefix = saltPrefix(SALT);
  const assign = () => rate((index) => armAt(ranges, bucketOf(prefix, UNITS[index]!))!);
  const bare = () => rate((index) => murmur3(SALTED[index]!));
  assign();
  bare();
  const { subject, reference, ratio } = await compare(rounds * 2, assign, bare);
  return [
    {
      what: 'assignment in process',
      reference: 'bare murmur3 of the same string',
      measured: `${(subject / 1e6).toFixed(1)} M/s against ${(reference / 1e6).toFixed(1)} M/s`,
      ratio,
      reach: '≥ 0.6×, ≥ 2 M/s',
      reached: ratio >= 0.6 && subject >= 2e6,
    },
  ];
}

/** Calls per second; the sum keeps the compiler from leaving the work out. */
function rate(call: (index: number) => number): number {
  let sum = 0;
  let calls = 0;
  const start = performance.now();
  const end = start + SECONDS * 1000;
  while (performance.now() < end) {
    for (let index = 0; index < 4096; index++) sum += call(index);
    calls += 4096;
  }
  const seconds = (performance.now() - start) / 1000;
  if (Number.isNaN(sum)) throw new Error('unreachable');
  return calls / seconds;
}
