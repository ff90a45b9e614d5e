import { unitProblem } from '#libs/core/assignment/assign.js';
import { BUCKETS, deriveRanges, movements, type RangedArm } from '#libs/core/assignment/split.js';
import { DomainError } from '#libs/core/errors/catalogue.js';
import type { OverrideChangeDto, ShadowChangeDto, SplitPreviewDto } from './split-preview.dto.js';
import type { ArmDto, OverrideDto, ShadowDto } from './split.dto.js';

/** What divides and copies the traffic: the part of a split that a rollback restores. */
export interface Division {
  readonly salt: string | null;
  readonly arms: readonly ArmDto[];
  readonly shadows: readonly ShadowDto[];
  /** Unit → arm. */
  readonly overrides: ReadonlyMap<string, string>;
}

export interface DivisionRequest {
  readonly arms: readonly Omit<ArmDto, 'ranges'>[];
  readonly salt?: string;
  readonly overrides?: readonly OverrideDto[];
  /** Absent: those in force stay. */
  readonly shadows?: readonly ShadowDto[];
}

/**
 * Derives the next division from the one in force, moving as few units as possible.
 * @returns `salt` null where the first split has to draw one.
 * @throws DomainError VALIDATION_FAILED: weights, names or overrides that do not fit together.
 */
export function planDivision(request: DivisionRequest, current: Division | undefined): Division {
  const ranged = derive(request.arms, current?.arms);
  const arms = request.arms.map(({ name, weightBps, chain }, index) => ({
    name,
    weightBps,
    ranges: [...ranged[index]!.ranges],
    chain,
  }));
  const names = new Set(arms.map((arm) => arm.name));
  const overrides = request.overrides
    ? checkOverrides(request.overrides, names)
    : new Map([...(current?.overrides ?? [])].filter(([, arm]) => names.has(arm)));
  const shadows = request.shadows ?? current?.shadows ?? [];
  refuseSameNames(shadows, names);
  return { salt: request.salt ?? current?.salt ?? null, arms, shadows, overrides };
}

/** What changes for units when `next` replaces `current`. */
export function compareDivisions(
  next: Division,
  current: Division | undefined,
  currentRevision: number,
): Omit<SplitPreviewDto, 'passedOver'> {
  const saltChanged = current !== undefined && next.salt !== current.salt;
  const moved = saltChanged ? [] : movements(current?.arms ?? [], next.arms);
  const movedBuckets = saltChanged
    ? expectedMoves(current.arms, next.arms)
    : moved.filter((movement) => movement.from !== undefined).reduce((sum, { buckets }) => sum + buckets, 0);
  return {
    currentRevision,
    salt: next.salt,
    saltChanged,
    arms: [...next.arms],
    movements: moved.map(({ from, to, buckets, ranges }) => ({
      from: from ?? null,
      to,
      buckets,
      share: buckets / BUCKETS,
      ranges,
    })),
    movedBuckets,
    unchangedShare: (BUCKETS - movedBuckets) / BUCKETS,
    versionChanges: next.arms.flatMap((arm) => {
      const before = current?.arms.find((other) => other.name === arm.name);
      return before && !sameChain(before, arm) ? [{ arm: arm.name, from: before.chain, to: arm.chain }] : [];
    }),
    overrideChanges: overrideChanges(current?.overrides ?? new Map(), next.overrides),
    shadows: [...next.shadows],
    shadowChanges: shadowChanges(current?.shadows ?? [], next.shadows),
    note: saltChanged
      ? 'A new salt gives every unit a new bucket: who moves depends on the hash of each unit, so no buckets can be listed. The figures are expected shares over many units. To move as few units as possible, leave the salt out.'
      : null,
  };
}

/** An override, as stored and as answered: a list in order of the units. */
export function overrideList(overrides: ReadonlyMap<string, string>): OverrideDto[] {
  return [...overrides]
    .map(([unit, arm]) => ({ unit, arm }))
    .sort((a, b) => (a.unit < b.unit ? -1 : a.unit > b.unit ? 1 : 0));
}

function derive(arms: DivisionRequest['arms'], previous: readonly RangedArm[] | undefined): RangedArm[] {
  try {
    return deriveRanges(arms, previous);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new DomainError('VALIDATION_FAILED', error.message, [{ path: '/arms', message: error.message }]);
  }
}

function checkOverrides(overrides: readonly OverrideDto[], arms: ReadonlySet<string>): Map<string, string> {
  const found = new Map<string, string>();
  for (const [index, { unit, arm }] of overrides.entries()) {
    const problem =
      unitProblem(unit) ??
      (arms.has(arm) ? undefined : `There is no arm "${arm}" in this split; name one of its arms.`) ??
      (found.has(unit) ? 'The unit is listed twice; pin it to one arm.' : undefined);
    if (problem !== undefined) {
      const path = `/overrides/${index}`;
      throw new DomainError('VALIDATION_FAILED', `${path}: ${problem}`, [{ path, message: problem }]);
    }
    found.set(unit, arm);
  }
  return found;
}

/** Rows tell arms and shadows apart by name. */
function refuseSameNames(shadows: readonly ShadowDto[], arms: ReadonlySet<string>): void {
  const taken = new Set(arms);
  for (const [index, { name }] of shadows.entries()) {
    if (taken.has(name)) {
      const path = `/shadows/${index}/name`;
      const message = `There is already an arm or shadow "${name}" in this split; give the shadow a name of its own.`;
      throw new DomainError('VALIDATION_FAILED', `${path}: ${message}`, [{ path, message }]);
    }
    taken.add(name);
  }
}

function sameChain(a: Pick<ArmDto, 'chain'>, b: Pick<ArmDto, 'chain'>): boolean {
  return (
    a.chain.name === b.chain.name && a.chain.version === b.chain.version && a.chain.digest === b.chain.digest
  );
}

/** With a new salt, old and new bucket of a unit are independent: it stays with probability Σ old × new. */
function expectedMoves(before: readonly ArmDto[], after: readonly ArmDto[]): number {
  const weights = new Map(before.map((arm) => [arm.name, arm.weightBps]));
  const stay = after.reduce((sum, arm) => sum + arm.weightBps * (weights.get(arm.name) ?? 0), 0);
  return Math.round(BUCKETS - stay / BUCKETS);
}

function overrideChanges(
  before: ReadonlyMap<string, string>,
  after: ReadonlyMap<string, string>,
): OverrideChangeDto[] {
  const units = [...new Set([...before.keys(), ...after.keys()])].sort();
  return units
    .map((unit) => ({ unit, from: before.get(unit) ?? null, to: after.get(unit) ?? null }))
    .filter(({ from, to }) => from !== to);
}

function shadowChanges(before: readonly ShadowDto[], after: readonly ShadowDto[]): ShadowChangeDto[] {
  const find = (shadows: readonly ShadowDto[], name: string): ShadowDto | null =>
    shadows.find((shadow) => shadow.name === name) ?? null;
  const names = [...new Set([...before, ...after].map(({ name }) => name))].sort();
  return names
    .map((shadow) => ({ shadow, from: find(before, shadow), to: find(after, shadow) }))
    .filter(({ from, to }) => !from || !to || from.sampleBps !== to.sampleBps || !sameChain(from, to));
}
