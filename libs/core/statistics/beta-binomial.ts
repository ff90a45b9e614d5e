import betaln from '@stdlib/math-base-special-betaln';
import { requirePositive } from './distributions.js';

/** Units of an arm and how many of them had the event. */
export interface Successes {
  readonly successes: number;
  readonly units: number;
}

/** Beta(alpha, beta), whole numbers. */
export interface BetaPrior {
  readonly alpha: number;
  readonly beta: number;
}

export interface BetaBinomial {
  /** P(the treatment's rate is higher than control's | data). */
  readonly chanceToWin: number;
  /** E[max(0, p_control − p_treatment)]: what shipping the treatment costs on average, as a rate. */
  readonly lossOfShipping: number;
  /** E[max(0, p_treatment − p_control)]. */
  readonly lossOfKeeping: number;
}

interface Beta {
  readonly a: number;
  readonly b: number;
}

const UNIFORM: BetaPrior = { alpha: 1, beta: 1 };

/** Terms of the exact sum that are worth computing (some milliseconds); beyond, the normal approximation has no visible error. */
const MAX_TERMS = 100_000;

/**
 * Chance to win and expected loss of two rates, exactly: independent Beta posteriors, P(B > A) by the finite sum of Miller (2014,
 * "Formulas for Bayesian A/B testing"; the same as Cook 2005), losses by E[(p_B − p_A)⁺] = E[p_B]·P(B⁺ > A) − E[p_A]·P(B > A⁺), where
 * ⁺ has one success more. It holds at all successes, none, and no units, where the normal approximation does not.
 * @returns undefined when both arms have more than 100 000 successes and failures each: use `chanceToWin`.
 * @throws RangeError for counts that cannot be, or a prior that is not of whole numbers above 0.
 */
export function betaBinomial(
  control: Successes,
  treatment: Successes,
  prior: BetaPrior = UNIFORM,
): BetaBinomial | undefined {
  const a = posterior(control, prior);
  const b = posterior(treatment, prior);
  if (Math.min(a.a, a.b, b.a, b.b) > MAX_TERMS) return undefined;
  const chance = chanceAbove(b, a);
  const meanA = a.a / (a.a + a.b);
  const meanB = b.a / (b.a + b.b);
  const plus = (beta: Beta) => ({ a: beta.a + 1, b: beta.b });
  const keeping = meanB * chanceAbove(plus(b), a) - meanA * chanceAbove(b, plus(a));
  const shipping = meanA * chanceAbove(plus(a), b) - meanB * chanceAbove(a, plus(b));
  return { chanceToWin: chance, lossOfShipping: Math.max(0, shipping), lossOfKeeping: Math.max(0, keeping) };
}

/**
 * Mean and standard deviation of a rate's Beta posterior: for Thompson sampling, where p(1 − p)/n would call an arm without a success certain.
 * @throws RangeError as `betaBinomial` does.
 */
export function betaPosterior(
  arm: Successes,
  prior: BetaPrior = UNIFORM,
): { mean: number; standardDeviation: number } {
  const { a, b } = posterior(arm, prior);
  return { mean: a / (a + b), standardDeviation: Math.sqrt((a * b) / (a + b + 1)) / (a + b) };
}

function posterior(arm: Successes, prior: BetaPrior): Beta {
  for (const [what, count] of [
    ['successes', arm.successes],
    ['units', arm.units],
    ["the prior's alpha", prior.alpha],
    ["the prior's beta", prior.beta],
  ] as const)
    if (!Number.isInteger(count) || count < 0)
      throw new RangeError(`The number of ${what} must be an integer, 0 or more; it is ${count}.`);
  if (arm.successes > arm.units)
    throw new RangeError(`${arm.successes} successes are more than the arm's ${arm.units} units.`);
  requirePositive("The prior's alpha", prior.alpha);
  requirePositive("The prior's beta", prior.beta);
  return { a: prior.alpha + arm.successes, b: prior.beta + arm.units - arm.successes };
}

/** P(X > Y), by whichever of its four equal forms has the fewest terms. */
function chanceAbove(x: Beta, y: Beta): number {
  const mirror = (beta: Beta): Beta => ({ a: beta.b, b: beta.a });
  const fewest = Math.min(x.a, x.b, y.a, y.b);
  if (fewest === x.a) return sum(x, y);
  if (fewest === y.a) return 1 - sum(y, x);
  if (fewest === y.b) return sum(mirror(y), mirror(x));
  return 1 - sum(mirror(x), mirror(y));
}

/** P(X > Y) = Σ over i below x.a of B(y.a + i, x.b + y.b)/((x.b + i)·B(1 + i, x.b)·B(y.a, y.b)), in logarithms, each term from the last. */
function sum(x: Beta, y: Beta): number {
  let log = betaln(y.a, x.b + y.b) - betaln(y.a, y.b);
  let total = 0;
  for (let i = 0; i < x.a; i++) {
    total += Math.exp(log);
    log += Math.log(((y.a + i) / (y.a + x.b + y.b + i)) * ((x.b + i) / (1 + i)));
  }
  return Math.min(1, total);
}
