import { Injectable } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import { highestFloor, type AdaptiveSettings } from '#libs/core/ab-test/adaptive.js';
import { stepMove, type RampSettings } from '#libs/core/ab-test/ramp.js';
import { DomainError } from '#libs/core/errors/catalogue.js';
import { findSplit, getEndpoint, getSplit } from '../../endpoints/endpoint-read.js';
import { SplitService } from '../../endpoints/split.service.js';
import type { Caller } from '../../http/caller.js';
import type { Page, PageQuery } from '../../http/page.js';
import type { AbTest } from '../ab-test.entity.js';
import { AbTestService, getTest } from '../ab-test.service.js';
import {
  endSteering,
  findSteered,
  moveSplit,
  sightOf,
  stateOf,
  stepIn,
  type Steered,
  type TestName,
} from './steered.js';
import type { SteeringActionDto, SteeringDto, SteeringMoveDto } from './steering.dto.js';
import { Steering, type SteeringMode } from './steering.entity.js';
import { change, listMoves } from './steering-rows.js';

/** What people order: ramps and adaptive tests, and how they go on. */
@Injectable()
export class SteeringService {
  constructor(
    private readonly database: DataSource,
    private readonly splits: SplitService,
    private readonly tests: AbTestService,
  ) {}

  /** @throws DomainError NOT_FOUND. */
  async get(caller: Caller, name: TestName, mode: SteeringMode): Promise<SteeringDto> {
    return toDto(await findSteered(this.database.manager, caller, name, mode));
  }

  /** @throws DomainError NOT_FOUND, INVALID_CURSOR. */
  async moves(caller: Caller, { endpoint, id }: TestName, query: PageQuery): Promise<Page<SteeringMoveDto>> {
    const { manager } = this.database;
    await getTest(manager, await getEndpoint(manager, caller, endpoint), id);
    return listMoves(manager, caller, id, query);
  }

  /**
   * Says how a test is to be steered, from now or from its start on.
   * @throws DomainError NOT_FOUND; IMMUTABLE: the test has ended, it is steered the other way, or it is not paused; VALIDATION_FAILED:
   * a floor that the arms of the split in force have no room for.
   */
  async put(
    caller: Caller,
    { endpoint: name, id }: TestName,
    mode: SteeringMode,
    settings: RampSettings | AdaptiveSettings,
  ): Promise<SteeringDto> {
    return this.database.transaction(async (tx) => {
      const endpoint = await getEndpoint(tx, caller, name, true);
      const test = await getTest(tx, endpoint, id);
      if (test.status === 'stopped')
        throw new DomainError('IMMUTABLE', `The A/B test ${id} has ended; nothing moves its split any more.`);
      const found = await tx.findOneBy(Steering, { abTestId: id });
      refuseChange(found, mode);
      const split = await findSplit(tx, endpoint, endpoint.splitRevision);
      if ('floorBps' in settings) refuseFloor(settings, split?.arms.length ?? 1);
      const now = new Date();
      const row = found ?? newRow(test, mode, now);
      const begins = test.status === 'draft' ? 'when the test is started' : 'with the next look';
      const reason = row.step < 0 ? `It begins ${begins}.` : 'Its settings were changed.';
      Object.assign(row, { mode, settings });
      // Steps that are others now; a ramp that has not moved yet finds its step when it first does.
      const step = row.revision === null || !split ? row.step : stepIn(row, test, split);
      const set = { mode, settings, step, ...(step !== row.step && { since: now }) };
      await change(tx, caller, row, { action: 'set', reason, set }, now);
      return toDto({ endpoint, test, row });
    });
  }

  /** Nothing moves until it is resumed; harm still ends it. @throws DomainError NOT_FOUND, IMMUTABLE. */
  async pause(
    caller: Caller,
    name: TestName,
    mode: SteeringMode,
    { reason = 'Paused by hand.' }: SteeringActionDto,
  ): Promise<SteeringDto> {
    return this.act(caller, name, mode, (tx, { row }, now) =>
      change(tx, caller, row, { action: 'pause', reason, set: { state: 'paused' } }, now),
    );
  }

  /** Goes on from the split in force, whoever set it, and in spite of the alarms it paused for. @throws DomainError NOT_FOUND, IMMUTABLE. */
  async resume(
    caller: Caller,
    name: TestName,
    mode: SteeringMode,
    { reason = 'Resumed by hand.' }: SteeringActionDto,
  ): Promise<SteeringDto> {
    return this.act(caller, name, mode, async (tx, { row, test, endpoint }, now) => {
      const { alarms } = row;
      const set = {
        state: 'going' as const,
        alarms: [],
        acknowledged: [...new Set([...row.acknowledged, ...alarms])],
      };
      const isNew = row.revision !== null && row.revision !== endpoint.splitRevision;
      const split = isNew ? await getSplit(tx, endpoint, endpoint.splitRevision) : undefined;
      const taken = split && { revision: split.revision, step: stepIn(row, test, split), since: now };
      const said = alarms.length === 0 ? reason : `${reason} Acknowledged: ${alarms.join(', ')}.`;
      await change(tx, caller, row, { action: 'resume', reason: said, set: { ...set, ...taken } }, now);
    });
  }

  /** Takes the next step of a ramp now, whatever its gates say. @throws DomainError NOT_FOUND, IMMUTABLE, and what a split is refused for. */
  async advance(
    caller: Caller,
    name: TestName,
    { reason = 'advanced by hand.' }: SteeringActionDto,
  ): Promise<SteeringDto> {
    return this.act(caller, name, 'ramp', async (tx, steered, now) => {
      const { row, endpoint, test } = steered;
      const settings = row.settings as RampSettings;
      if (test.status !== 'running')
        throw new DomainError(
          'IMMUTABLE',
          `The A/B test ${test.id} is a draft; start it, and its ramp begins.`,
        );
      const split = await getSplit(tx, endpoint, endpoint.splitRevision);
      const state = stateOf(steered, split);
      if (state.step >= settings.stepsBps.length - 1)
        throw new DomainError('IMMUTABLE', 'All steps of the ramp have been taken; decide to end the test.');
      const move = stepMove(settings, state, sightOf(test, split, now), state.step + 1, reason);
      await moveSplit(tx, this.splits, caller, steered, split, move, 'advance', now);
    });
  }

  /** All units to control at once, as one revision, and the end of the test. @throws DomainError NOT_FOUND, IMMUTABLE. */
  async kill(
    caller: Caller,
    name: TestName,
    { reason = 'The kill switch was pulled.' }: SteeringActionDto,
  ): Promise<SteeringDto> {
    await findSteered(this.database.manager, caller, name, 'ramp');
    await this.tests.decide(caller, name.endpoint, name.id, { decision: 'roll_back', reason });
    return toDto(await endSteering(this.database, caller, name, 'kill', reason));
  }

  /** Latches an adaptive test: its weights stay as they are for good. @throws DomainError NOT_FOUND, IMMUTABLE. */
  async stop(
    caller: Caller,
    name: TestName,
    { reason = 'Stopped by hand; the weights stay as they are.' }: SteeringActionDto,
  ): Promise<SteeringDto> {
    return this.act(caller, name, 'adaptive', (tx, { row }, now) =>
      change(tx, caller, row, { action: 'stop', reason, set: { state: 'ended' } }, now),
    );
  }

  /** @throws DomainError NOT_FOUND, IMMUTABLE: it has ended. */
  private async act(
    caller: Caller,
    name: TestName,
    mode: SteeringMode,
    edit: (tx: EntityManager, steered: Steered, now: Date) => Promise<void>,
  ): Promise<SteeringDto> {
    return this.database.transaction(async (tx) => {
      const steered = await findSteered(tx, caller, name, mode, true);
      if (steered.row.state === 'ended' || steered.test.status === 'stopped') throw ended(steered.row);
      await edit(tx, steered, new Date());
      return toDto(steered);
    });
  }
}

function newRow({ id, workspaceId }: AbTest, mode: SteeringMode, now: Date): Steering {
  return Object.assign(new Steering(), {
    abTestId: id,
    workspaceId,
    mode,
    state: 'going',
    step: -1,
    since: now,
    revision: null,
    dropped: [],
    alarms: [],
    acknowledged: [],
    version: 0,
  } satisfies Partial<Steering>);
}

/** @throws DomainError VALIDATION_FAILED. */
function refuseFloor({ floorBps }: AdaptiveSettings, arms: number): void {
  const highest = highestFloor(arms);
  if (floorBps <= highest) return;
  const message = `must be at most ${highest}: the split in force has ${arms} arms, and each gets as much`;
  throw new DomainError('VALIDATION_FAILED', `/floorBps ${message}.`, [{ path: '/floorBps', message }]);
}

/** @throws DomainError IMMUTABLE. */
function refuseChange(found: Steering | null, mode: SteeringMode): void {
  if (!found) return;
  if (found.state === 'ended') throw ended(found);
  if (found.step < 0 || (found.state === 'paused' && found.mode === mode)) return;
  throw new DomainError(
    'IMMUTABLE',
    found.mode === mode
      ? 'Pause it before you change how it goes on.'
      : `The test is ${found.mode === 'ramp' ? 'on a ramp' : 'adaptive'} already and has moved its split; it stays so.`,
  );
}

function ended({ mode, note }: Steering): DomainError {
  const what = mode === 'ramp' ? 'The ramp' : 'The adaptive test';
  return new DomainError('IMMUTABLE', `${what} has ended and never moves the split again: ${note}`);
}

function toDto({ test, row }: Steered): SteeringDto {
  const { abTestId: _id, workspaceId: _workspace, version: _version, ...fields } = row;
  return { ...fields, abTestId: test.id, lookedAt: row.lookedAt ?? null };
}
