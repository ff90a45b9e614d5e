import type { DataSource, EntityManager } from 'typeorm';
import {
  stepReached,
  type Move,
  type RampSettings,
  type Sight,
  type SteeringState,
  type Weight,
} from '#libs/core/ab-test/ramp.js';
import { DomainError } from '#libs/core/errors/catalogue.js';
import type { Endpoint } from '../../endpoints/endpoint.entity.js';
import { getEndpoint } from '../../endpoints/endpoint-read.js';
import type { SplitDto } from '../../endpoints/split.dto.js';
import type { SplitService } from '../../endpoints/split.service.js';
import type { Caller } from '../../http/caller.js';
import type { AbTest } from '../ab-test.entity.js';
import { getTest } from '../ab-test.service.js';
import { Steering, type SteeringMode } from './steering.entity.js';
import { change } from './steering-rows.js';

/** A test with its endpoint, and how it is steered. */
export interface Steered {
  readonly endpoint: Endpoint;
  readonly test: AbTest;
  readonly row: Steering;
}

/** Names a test: by its endpoint and its id. */
export interface TestName {
  readonly endpoint: string;
  readonly id: string;
}

/**
 * @param mode undefined: either.
 * @param lock the endpoint's row first, as everybody who changes a split does.
 * @throws DomainError NOT_FOUND.
 */
export async function findSteered(
  manager: EntityManager,
  caller: Caller,
  { endpoint: name, id }: TestName,
  mode: SteeringMode | undefined,
  lock = false,
): Promise<Steered> {
  const endpoint = await getEndpoint(manager, caller, name, lock);
  const test = await getTest(manager, endpoint, id);
  const row = await manager.findOneBy(Steering, { abTestId: id, ...(mode && { mode }) });
  if (row) return { endpoint, test, row };
  const made = mode === 'ramp' ? 'no ramp' : 'not adaptive';
  throw new DomainError(
    'NOT_FOUND',
    `The A/B test ${id} has ${made}; PUT one at …/ab-tests/${id}/${mode} first.`,
  );
}

/** The split of a move, and where the test stands with it. Part of one transaction: both or neither. */
export async function moveSplit(
  tx: EntityManager,
  splits: SplitService,
  caller: Caller,
  { endpoint, test, row }: Steered,
  current: SplitDto,
  { weights, dropped, step, why }: Extract<Move, { kind: 'split' }>,
  action: 'split' | 'advance',
  now: Date,
): Promise<void> {
  const weightOf = (name: string) => weights.find(({ arm }) => arm === name)!.weightBps;
  const isSame = current.arms.every(({ name, weightBps }) => weightOf(name) === weightBps);
  const { revision } = isSame
    ? current
    : await splits.put(
        caller,
        endpoint.name,
        {
          arms: current.arms.map(({ name, chain }) => ({ name, chain, weightBps: weightOf(name) })),
          overrides: current.overrides.filter(({ arm }) => !dropped.includes(arm)),
          expectedRevision: current.revision,
          reason: `A/B test ${test.id}: ${why}`.slice(0, 1000),
        },
        tx,
      );
  const set = {
    state: action === 'advance' ? ('going' as const) : row.state,
    step,
    revision,
    dropped: [...dropped],
    alarms: [],
    ...(step !== row.step && { since: now }),
  };
  await change(tx, caller, row, { action, reason: why, set, weights }, now);
}

/** Ends it for good; what has ended stays as it is. */
export async function endSteering(
  database: DataSource,
  caller: Caller,
  name: TestName,
  action: 'kill' | 'stop' | 'roll_back',
  reason: string,
): Promise<Steered> {
  return database.transaction(async (tx) => {
    const steered = await findSteered(tx, caller, name, undefined, true);
    if (steered.row.state !== 'ended')
      await change(tx, caller, steered.row, { action, reason, set: { state: 'ended' } }, new Date());
    return steered;
  });
}

/** Where a test stands. On a split that it did not set itself, its ramp has taken the steps that this split has reached. */
export function stateOf({ row, test }: Steered, split: SplitDto): SteeringState {
  const { dropped, acknowledged, revision } = row;
  const since = new Date(Math.max(row.since.getTime(), test.startedAt?.getTime() ?? 0)).toISOString();
  return {
    step: revision === split.revision ? row.step : stepIn(row, test, split),
    since,
    dropped,
    acknowledged,
  };
}

/** The step that goes with a split, whoever set it. */
export function stepIn(
  { mode, settings, step, dropped }: Steering,
  { rules }: AbTest,
  split: SplitDto,
): number {
  if (mode === 'adaptive') return step;
  return stepReached(
    settings as RampSettings,
    { control: rules.control, weights: weightsOf(split) },
    dropped,
  );
}

function weightsOf({ arms }: SplitDto): Weight[] {
  return arms.map(({ name: arm, weightBps }) => ({ arm, weightBps }));
}

export function sightOf({ rules }: AbTest, split: SplitDto, now: Date): Omit<Sight, 'analysis'> {
  const { revision } = split;
  return { control: rules.control, weights: weightsOf(split), revision, now: now.toISOString() };
}
