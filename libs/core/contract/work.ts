/**
 * How much work one check may be: evaluated subschemas, and characters held against patterns. A schema that refers to
 * itself, or to others twice each, makes exponentially many evaluations of a short answer, and a check holds up the
 * process it runs in. An answer of 100 KB against a usual schema takes some 20 000.
 */
export const MAX_WORK = 1_000_000;

let left = 0;

/** The check would take too long. */
export class TooMuchWorkError extends Error {
  override readonly name = 'TooMuchWorkError';
}

/** What the check that was last has left. */
export function workLeft(): number {
  return Math.max(0, left);
}

/** For all checks of one answer together: it may have a hundred choices, and each some parts that may be meant. */
export class Allowance {
  /** Steps. */
  work = 2 * MAX_WORK;
  /** Characters of broken JSON that are mended. */
  mended = 32 * 1024;
}

/** A check begins. Checks are synchronous, so that one allowance is enough for all. */
export function allowWork(amount: number): void {
  left = amount;
}

/** @throws TooMuchWorkError. */
export function spend(amount: number): void {
  left -= amount;
  if (left < 0) throw new TooMuchWorkError('The check takes too many steps.');
}
