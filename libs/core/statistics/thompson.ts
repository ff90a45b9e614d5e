import { normalCdf, normalPdf } from './distributions.js';

/** What is believed of an arm's value now: normal. For rates take `betaPosterior`; else value and standard error of the estimate. */
export interface ArmBelief {
  readonly mean: number;
  readonly standardDeviation: number;
}

export interface ThompsonOptions {
  /** Weight that no arm falls below, in basis points; 100 unless said. */
  readonly floorBps?: number;
  readonly lowerIsBetter?: boolean;
}

const WHOLE_BPS = 10_000;
/** Beyond it (in standard deviations) a normal distribution has 1e-18. */
const REACH = 9;

/**
 * Thompson sampling's weights in basis points, summing to 10 000: floor + (1 − arms·floor)·P(arm is best), largest remainders rounded
 * up, the first arm first among equals (Thompson 1933; the additive floor keeps every arm measured). The chances are integrated, not
 * drawn: the same beliefs give the same weights everywhere, without a seed and without the noise of draws.
 * While any arm's belief is unknown (standard deviation 0 or infinite) all weights are equal.
 * @throws RangeError for no arms, or a floor that is no integer or too high for so many arms.
 */
export function thompsonWeights(arms: readonly ArmBelief[], options: ThompsonOptions = {}): number[] {
  const { floorBps = 100, lowerIsBetter = false } = options;
  if (arms.length === 0) throw new RangeError('There must be at least one arm.');
  if (!Number.isInteger(floorBps) || floorBps < 0 || floorBps * arms.length > WHOLE_BPS)
    throw new RangeError(
      `The floor must be an integer of basis points, 0 to ${Math.floor(WHOLE_BPS / arms.length)} with ${arms.length} arms; it is ${floorBps}.`,
    );
  const chances = chancesOfBeingBest(lowerIsBetter ? arms.map((arm) => ({ ...arm, mean: -arm.mean })) : arms);
  const spare = WHOLE_BPS - arms.length * floorBps;
  return roundToWhole(chances.map((chance) => floorBps + spare * chance));
}

/**
 * P(arm has the highest value) for independent normal beliefs: ∫ φᵢ(x)·Π Φⱼ(x) dx by Gauss–Legendre between points one standard
 * deviation apart of every arm; accurate to 1e-12. Sums to 1. Equal while any belief is unknown.
 */
export function chancesOfBeingBest(arms: readonly ArmBelief[]): number[] {
  if (
    arms.some(
      (arm) => !Number.isFinite(arm.mean) || !(arm.standardDeviation > 0 && arm.standardDeviation < Infinity),
    )
  )
    return arms.map(() => 1 / arms.length);
  const chances = arms.map((arm, i) => integrate(arms, arm, i));
  const total = chances.reduce((sum, chance) => sum + chance, 0);
  return chances.map((chance) => chance / total);
}

function integrate(arms: readonly ArmBelief[], arm: ArmBelief, index: number): number {
  const low = arm.mean - REACH * arm.standardDeviation;
  const high = arm.mean + REACH * arm.standardDeviation;
  const points = arms
    .flatMap(({ mean, standardDeviation }) =>
      Array.from({ length: 2 * REACH + 1 }, (_, at) => mean + (at - REACH) * standardDeviation),
    )
    .filter((point) => point >= low && point <= high)
    .sort((a, b) => a - b);
  let total = 0;
  for (let at = 1; at < points.length; at++) {
    const half = (points[at]! - points[at - 1]!) / 2;
    if (half === 0) continue;
    const middle = points[at - 1]! + half;
    for (const [node, weight] of LEGENDRE) {
      const x = middle + half * node;
      let density = normalPdf((x - arm.mean) / arm.standardDeviation) / arm.standardDeviation;
      for (const [j, other] of arms.entries())
        if (j !== index) density *= normalCdf((x - other.mean) / other.standardDeviation);
      total += weight * half * density;
    }
  }
  return total;
}

/** Largest-remainder rounding of numbers that sum to 10 000. */
function roundToWhole(exact: readonly number[]): number[] {
  const rounded = exact.map(Math.floor);
  const missing = WHOLE_BPS - rounded.reduce((sum, value) => sum + value, 0);
  const byRemainder = exact
    .map((value, i) => ({ i, remainder: value - Math.floor(value) }))
    .sort((a, b) => b.remainder - a.remainder || a.i - b.i);
  for (const { i } of byRemainder.slice(0, missing)) rounded[i]!++;
  return rounded;
}

/** Nodes and weights of Gauss–Legendre on −1…1, from the roots of the Legendre polynomial by Newton's method. */
function gaussLegendre(count: number): (readonly [number, number])[] {
  return Array.from({ length: count }, (_, i) => {
    let x = Math.cos((Math.PI * (i + 0.75)) / (count + 0.5));
    let slope = 1;
    for (let step = 0; step < 20; step++) {
      let [last, now] = [1, x];
      for (let k = 2; k <= count; k++) [last, now] = [now, ((2 * k - 1) * x * now - (k - 1) * last) / k];
      slope = (count * (x * now - last)) / (x * x - 1);
      x -= now / slope;
    }
    return [x, 2 / ((1 - x * x) * slope * slope)] as const;
  });
}

const LEGENDRE = gaussLegendre(12);
