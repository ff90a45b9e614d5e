/**
 * What is known of one arm: sums over its **units** (conversations, users, tenants: whatever was assigned), each unit counted once
 * with the totals of all its requests. Requests of one unit are not independent; units are.
 *
 * One letter a variable, two letters a sum of products, as a database computes them:
 * `y` the metric of a unit (the numerator, when it is a ratio) · `d` the denominator, for ratios · `x` a covariate known before the
 * unit was assigned, for CUPED · `w` the covariate's denominator, when the covariate is a ratio.
 */
export interface ArmSums {
  /** n: units assigned to the arm and exposed. */
  readonly units: number;
  readonly y: number;
  /** Σ y². A rate does not need it: its y are 0 or 1. */
  readonly yy?: number;
  readonly d?: number;
  readonly dd?: number;
  readonly yd?: number;
  readonly x?: number;
  readonly xx?: number;
  readonly yx?: number;
  readonly dx?: number;
  readonly w?: number;
  readonly ww?: number;
  readonly yw?: number;
  readonly dw?: number;
  readonly xw?: number;
}

export type Variable = 'y' | 'd' | 'x' | 'w';
type Product = 'yy' | 'dd' | 'yd' | 'xx' | 'yx' | 'dx' | 'ww' | 'yw' | 'dw' | 'xw';

const ORDER: readonly Variable[] = ['y', 'd', 'x', 'w'];
const ALL = ['y', 'yy', 'd', 'dd', 'yd', 'x', 'xx', 'yx', 'dx', 'w', 'ww', 'yw', 'dw', 'xw'] as const;

/** How far Σ y² may lie below (Σ y)²/n by rounding alone, relative to it. */
const ROUNDING = 1e-9;

function productOf(a: Variable, b: Variable): Product {
  return (ORDER.indexOf(a) <= ORDER.indexOf(b) ? a + b : b + a) as Product;
}

function read(sums: ArmSums, name: Variable | Product): number {
  const value = sums[name];
  if (value === undefined) throw new RangeError(`The sum '${name}' is missing, and this estimate needs it.`);
  return value;
}

/**
 * Refuses sums that no set of units can have.
 * @throws RangeError that names the sum.
 */
export function checkSums(sums: ArmSums): void {
  if (!Number.isInteger(sums.units) || sums.units < 0)
    throw new RangeError(`The number of units must be an integer, 0 or more; it is ${sums.units}.`);
  for (const name of ALL) {
    const value = sums[name];
    if (value !== undefined && !Number.isFinite(value))
      throw new RangeError(`The sum '${name}' must be a finite number; it is ${value}.`);
    if (sums.units === 0 && value !== undefined && value !== 0)
      throw new RangeError(`The sum '${name}' is ${value} over no units; it must be 0.`);
  }
  for (const variable of ORDER) {
    const sum = sums[variable];
    const squares = sums[productOf(variable, variable)];
    if (sum === undefined || squares === undefined || sums.units === 0) continue;
    if (squares * sums.units < sum * sum * (1 - ROUNDING))
      throw new RangeError(
        `The sum of squares '${variable}${variable}' (${squares}) is less than ${sums.units} units with the sum '${variable}' (${sum}) can have.`,
      );
  }
}

/** Mean over the units; needs at least one. */
export function meanOf(sums: ArmSums, variable: Variable): number {
  return read(sums, variable) / sums.units;
}

/** Sample covariance over the units (divided by n − 1), or variance of a variable with itself; needs two units. Rounding may leave a variance just below 0. */
export function covarianceOf(sums: ArmSums, a: Variable, b: Variable): number {
  const n = sums.units;
  return (read(sums, productOf(a, b)) - (read(sums, a) * read(sums, b)) / n) / (n - 1);
}

/** Sums over the units of several arms together. A sum that is missing in one of them is missing. */
export function pooled(arms: readonly ArmSums[]): ArmSums {
  const total: { -readonly [K in keyof ArmSums]: ArmSums[K] } = { units: 0, y: 0 };
  for (const arm of arms) total.units += arm.units;
  for (const name of ALL) {
    if (arms.some((arm) => arm[name] === undefined)) continue;
    total[name] = arms.reduce((sum, arm) => sum + arm[name]!, 0);
  }
  return total;
}

/** Sums of units that are there one by one: for tests, small sets, and to say in code what each sum is. */
export function sumsOf(units: readonly Partial<Record<Variable, number>>[]): ArmSums {
  const total: Record<string, number> = { units: units.length, y: 0, yy: 0 };
  for (const unit of units)
    for (const [i, a] of ORDER.entries()) {
      const value = unit[a];
      if (value === undefined) continue;
      total[a] = (total[a] ?? 0) + value;
      for (const b of ORDER.slice(i)) {
        const other = unit[b];
        if (other !== undefined) total[a + b] = (total[a + b] ?? 0) + value * other;
      }
    }
  return total as unknown as ArmSums;
}
