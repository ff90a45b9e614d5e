import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { nextAdaptiveMove, type AdaptiveSettings } from '#libs/core/ab-test/adaptive.js';
import { analyse } from '#libs/core/ab-test/analysis.js';
import {
  nextRampMove,
  type Move,
  type RampSettings,
  type Sight,
  type SteeringState,
} from '#libs/core/ab-test/ramp.js';
import { settleRules } from '#libs/core/ab-test/rules.js';
import { DomainError } from '#libs/core/errors/catalogue.js';
import { getSplit } from '../../endpoints/endpoint-read.js';
import type { SplitDto } from '../../endpoints/split.dto.js';
import { SplitService } from '../../endpoints/split.service.js';
import type { Caller } from '../../http/caller.js';
import type { AbTest } from '../ab-test.entity.js';
import { AbTestReader } from '../ab-test-reader.js';
import { AbTestService } from '../ab-test.service.js';
import {
  endSteering,
  findSteered,
  moveSplit,
  sightOf,
  stateOf,
  type Steered,
  type TestName,
} from './steered.js';
import { Steering } from './steering.entity.js';
import { change } from './steering-rows.js';

/** What a look came to. */
export type Look = 'nothing' | 'split' | 'pause' | 'roll_back' | 'end';

/** Looks at tests on ramps and adaptive ones, and makes the moves that are due. */
@Injectable()
export class Steerer {
  constructor(
    private readonly database: DataSource,
    private readonly splits: SplitService,
    private readonly tests: AbTestService,
    private readonly reader: AbTestReader,
  ) {}

  /**
   * May be called by anybody at any time, also at the same time: a move is one transaction that is refused when row or split are not those
   * that were looked at.
   */
  async look(id: string, now: Date): Promise<Look> {
    const { manager } = this.database;
    const [named] = await manager.query<{ workspaceId: string; endpoint: string }[]>(
      `SELECT s.workspace_id AS "workspaceId", e.name AS endpoint
         FROM ab_test_steering s JOIN ab_test t ON t.id = s.ab_test_id JOIN endpoint e ON e.id = t.endpoint_id
        WHERE s.ab_test_id = $1 AND s.state <> 'ended'`,
      [id],
    );
    if (!named) return 'nothing';
    const caller: Caller = { workspaceId: named.workspaceId, actor: `ab-test:${id}` };
    const name: TestName = { endpoint: named.endpoint, id };
    const steered = await findSteered(manager, caller, name, undefined);
    const { endpoint, test, row } = steered;
    if (test.status === 'draft') return 'nothing';
    if (test.status === 'stopped') {
      await endSteering(this.database, caller, name, 'stop', endSentence(test));
      return 'end';
    }
    const split = await getSplit(manager, endpoint, endpoint.splitRevision);
    const move = await this.nextMove(steered, split, now);
    if (move.kind === 'wait') {
      if (move.why !== row.note)
        await manager.update(Steering, { abTestId: id, version: row.version }, { note: move.why });
      return 'nothing';
    }
    try {
      if (move.kind === 'roll_back') return await this.rollBack(caller, name, split, move.why);
      return await this.make(caller, name, row, split, move, now);
    } catch (error) {
      // A chain or model endpoint that was taken away meanwhile, a split without control: nothing that trying again would mend.
      if (!(error instanceof DomainError) || error.code === 'REVISION_CONFLICT') throw error;
      const refused = move.kind === 'roll_back' ? 'roll-back' : 'split';
      const said = `The ${refused} was refused: ${error.message}`;
      // Harm is acted on at every look, also in vain; that is told once.
      if (row.state === 'paused' && row.note.startsWith(said)) return 'nothing';
      const why = `${said} It was to be made because: ${move.why}`;
      return this.make(caller, name, row, split, { kind: 'pause', why }, now);
    }
  }

  private async rollBack(caller: Caller, name: TestName, { revision }: SplitDto, why: string): Promise<Look> {
    const decision = { decision: 'roll_back', reason: why, expectedRevision: revision } as const;
    await this.tests.decide(caller, name.endpoint, name.id, decision);
    await endSteering(this.database, caller, name, 'roll_back', why);
    return 'roll_back';
  }

  /** Makes a move, unless row or split are others by now. */
  private async make(
    caller: Caller,
    name: TestName,
    seen: Steering,
    split: SplitDto,
    move: Extract<Move, { kind: 'split' | 'pause' }>,
    now: Date,
  ): Promise<Look> {
    return this.database.transaction(async (tx) => {
      const steered = await findSteered(tx, caller, name, seen.mode, true);
      const { row, endpoint, test } = steered;
      if (row.version !== seen.version || endpoint.splitRevision !== split.revision) return 'nothing';
      if (test.status !== 'running') return 'nothing';
      if (move.kind === 'split') await moveSplit(tx, this.splits, caller, steered, split, move, 'split', now);
      else {
        const set = { state: 'paused' as const, alarms: [...(move.alarms ?? [])] };
        await change(tx, caller, row, { action: 'pause', reason: move.why, set }, now);
      }
      return move.kind;
    });
  }

  private async nextMove(steered: Steered, split: SplitDto, now: Date): Promise<Move> {
    const { endpoint, test, row } = steered;
    if (row.revision !== null && row.revision !== endpoint.splitRevision) {
      if (row.state === 'paused') return { kind: 'wait', why: row.note };
      const reason = split.reason === null ? '' : ` ("${split.reason}")`;
      const by = `was set by ${split.createdBy}${reason}, not by this test`;
      return { kind: 'pause', why: `Split revision ${split.revision} ${by}; resume to go on from it.` };
    }
    const analysis = analyse(await this.reader.input(this.database.manager, test, now));
    const sight: Sight = { ...sightOf(test, split, now), analysis };
    const state = stateOf(steered, split);
    const move = planned(row, state, test, sight);
    if (row.state === 'going') return move;
    // Paused: only harm is acted on.
    const isHarm =
      move.kind === 'roll_back' ||
      (move.kind === 'split' && move.step === state.step && move.dropped.length > row.dropped.length);
    return isHarm ? move : { kind: 'wait', why: row.note };
  }
}

function planned({ mode, settings }: Steering, state: SteeringState, { rules }: AbTest, sight: Sight): Move {
  if (mode === 'ramp') return nextRampMove(settings as RampSettings, state, sight);
  const { direction } = settleRules(rules).metrics[0]!;
  return nextAdaptiveMove(settings as AdaptiveSettings, state, sight, direction);
}

function endSentence({ decision, decidedArm, stopReason }: AbTest): string {
  if (decision !== null)
    return `The test was decided: ${decision === 'ship' ? `"${decidedArm}" is shipped` : 'back to control'}.`;
  return `The test was stopped${stopReason === null ? '' : `: ${stopReason}`}.`;
}
