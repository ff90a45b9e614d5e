import { Injectable } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import { v7, validate } from 'uuid';
import { DomainError } from '#libs/core/errors/catalogue.js';
import type { Endpoint } from '../endpoints/endpoint.entity.js';
import { findSplit, getEndpoint } from '../endpoints/endpoint-read.js';
import { refuseArchived } from '../endpoints/endpoint.service.js';
import { SplitService } from '../endpoints/split.service.js';
import type { Caller } from '../http/caller.js';
import { isUniqueViolation } from '../http/conflict.js';
import { decodeCursor, pageOf, type Page } from '../http/page.js';
import { AbTest, type AbTestStatus } from './ab-test.entity.js';
import type {
  AbTestDto,
  AbTestQuery,
  CreateAbTestDto,
  DecideAbTestDto,
  StopAbTestDto,
  UpdateAbTestDto,
} from './ab-test.dto.js';
import { assertFits, metricsOf, rulesOf } from './rules.js';

/** A/B tests: drafts, tests that run on the split in force, and their ends. */
@Injectable()
export class AbTestService {
  constructor(
    private readonly database: DataSource,
    private readonly splits: SplitService,
  ) {}

  /** A draft. @throws DomainError NOT_FOUND, ARCHIVED, VALIDATION_FAILED. */
  async create(caller: Caller, name: string, given: CreateAbTestDto): Promise<AbTestDto> {
    return this.database.transaction(async (tx) => {
      const endpoint = await openEndpoint(tx, caller, name, false);
      const { hypothesis, factors, ...rest } = given;
      const rules = rulesOf(rest);
      const now = new Date();
      const row = tx.create(AbTest, {
        id: v7(),
        workspaceId: caller.workspaceId,
        endpointId: endpoint.id,
        hypothesis,
        rules,
        factors: factors ?? null,
        metrics: metricsOf(rules),
        status: 'draft',
        createdAt: now,
        createdBy: caller.actor,
        updatedAt: now,
      });
      assertFits(rules, row.factors, await armsInForce(tx, endpoint));
      await tx.insert(AbTest, row);
      return toDto(await getTest(tx, endpoint, row.id), endpoint);
    });
  }

  /** Newest first. @throws DomainError NOT_FOUND, INVALID_CURSOR. */
  async list(caller: Caller, name: string, query: AbTestQuery): Promise<Page<AbTestDto>> {
    const before = decodeCursor(
      query.cursor,
      (key): key is string => typeof key === 'string' && validate(key),
    );
    const { manager } = this.database;
    const endpoint = await getEndpoint(manager, caller, name);
    const find = manager
      .createQueryBuilder(AbTest, 't')
      .where('t.workspaceId = :workspaceId AND t.endpointId = :endpointId', {
        workspaceId: caller.workspaceId,
        endpointId: endpoint.id,
      })
      .orderBy('t.id', 'DESC')
      .limit(query.limit + 1);
    if (query.status !== undefined) find.andWhere('t.status = :status', { status: query.status });
    if (before !== undefined) find.andWhere('t.id < :before', { before });
    return pageOf(
      await find.getMany(),
      query.limit,
      (row) => row.id,
      (row) => toDto(row, endpoint),
    );
  }

  /** @throws DomainError NOT_FOUND. */
  async get(caller: Caller, name: string, id: string): Promise<AbTestDto> {
    const { manager } = this.database;
    const endpoint = await getEndpoint(manager, caller, name);
    return toDto(await getTest(manager, endpoint, id), endpoint);
  }

  /** Changes a draft. @throws DomainError NOT_FOUND, IMMUTABLE once started, VALIDATION_FAILED. */
  async update(caller: Caller, name: string, id: string, given: UpdateAbTestDto): Promise<AbTestDto> {
    return this.change(caller, name, id, ['draft'], async (tx, row, endpoint) => {
      const { hypothesis, factors, ...rest } = given;
      row.rules = rulesOf({ ...(row.rules as Omit<CreateAbTestDto, 'hypothesis'>), ...rest });
      row.metrics = metricsOf(row.rules);
      if (hypothesis !== undefined) row.hypothesis = hypothesis;
      if (factors !== undefined) row.factors = factors;
      assertFits(row.rules, row.factors, await armsInForce(tx, endpoint));
    });
  }

  /**
   * From now on the endpoint's rows count, of this split and of those after it.
   * @throws DomainError NOT_FOUND, ARCHIVED, IMMUTABLE (it was started before), IN_USE (another one runs), VALIDATION_FAILED.
   */
  async start(caller: Caller, name: string, id: string): Promise<AbTestDto> {
    try {
      return await this.change(caller, name, id, ['draft'], async (tx, row, endpoint) => {
        refuseArchived(endpoint);
        assertFits(row.rules, row.factors, await armsInForce(tx, endpoint));
        row.status = 'running';
        row.startedAt = new Date();
        row.startedBy = caller.actor;
        row.firstRevision = endpoint.splitRevision;
        row.startedArrival = await arrival(tx);
      });
    } catch (error) {
      if (!isUniqueViolation(error, 'ab_test_running_key')) throw error;
      throw new DomainError(
        'IN_USE',
        `Another A/B test runs on the endpoint "${name}": its units would be asked two questions at once. Stop that one first, or give this one an endpoint of its own.`,
      );
    }
  }

  /** Ends it, and leaves the split as it is. @throws DomainError NOT_FOUND, IMMUTABLE unless it runs. */
  async stop(caller: Caller, name: string, id: string, given: StopAbTestDto): Promise<AbTestDto> {
    return this.change(caller, name, id, ['running'], async (tx, row, endpoint) => {
      await end(tx, caller, row, endpoint, given.reason ?? null);
    });
  }

  /**
   * Sends all traffic to one arm, as one revision of the split, and ends the test if it still runs: both or neither.
   * @throws DomainError NOT_FOUND, ARCHIVED, IMMUTABLE (not started, or decided), IN_USE (another test runs), VALIDATION_FAILED (the arm),
   * REVISION_CONFLICT, and what a split is refused for.
   */
  async decide(caller: Caller, name: string, id: string, given: DecideAbTestDto): Promise<AbTestDto> {
    return this.change(caller, name, id, ['running', 'stopped'], async (tx, row, endpoint) => {
      if (row.decision !== null) throw wrongStatus(row, ['running']);
      if (row.status === 'stopped') await refuseOtherRunning(tx, row, name);
      const split = await findSplit(tx, endpoint, endpoint.splitRevision);
      const names = split!.arms.map((arm) => arm.name);
      const chosen = armFor(given, row.rules.control, names);
      const { chain } = split!.arms.find((arm) => arm.name === chosen)!;
      // Before the split: its rows are not of the test any more.
      if (row.status === 'running') await end(tx, caller, row, endpoint, given.reason ?? null);
      const said = given.reason === undefined ? '' : `: ${given.reason}`;
      const verb = given.decision === 'ship' ? `ships "${chosen}"` : `goes back to "${chosen}"`;
      await this.splits.put(
        caller,
        name,
        {
          arms: [{ name: chosen, chain, weightBps: 10_000 }],
          reason: `A/B test ${id} ${verb}${said}`.slice(0, 1000),
          ...(given.expectedRevision !== undefined && { expectedRevision: given.expectedRevision }),
        },
        tx,
      );
      row.decision = given.decision;
      row.decidedArm = chosen;
      row.decidedAt = new Date();
      row.decidedBy = caller.actor;
      row.decisionReason = given.reason ?? null;
    });
  }

  /** Under the lock of the endpoint's row, as every split is: no phase begins meanwhile. */
  private async change(
    caller: Caller,
    name: string,
    id: string,
    allowed: readonly AbTestStatus[],
    edit: (tx: EntityManager, row: AbTest, endpoint: Endpoint) => Promise<void>,
  ): Promise<AbTestDto> {
    return this.database.transaction(async (tx) => {
      const endpoint = await getEndpoint(tx, caller, name, true);
      const row = await getTest(tx, endpoint, id);
      if (!allowed.includes(row.status)) throw wrongStatus(row, allowed);
      await edit(tx, row, endpoint);
      row.updatedAt = new Date();
      const { id: _id, serial: _serial, workspaceId, ...fields } = row;
      await tx.update(AbTest, { id, workspaceId }, fields);
      return toDto(row, endpoint);
    });
  }
}

async function end(
  tx: EntityManager,
  caller: Caller,
  row: AbTest,
  endpoint: Endpoint,
  reason: string | null,
): Promise<void> {
  row.status = 'stopped';
  row.stoppedAt = new Date();
  row.stoppedBy = caller.actor;
  row.stopReason = reason;
  row.stoppedArrival = await arrival(tx);
  row.lastRevision = endpoint.splitRevision;
}

/** This transaction's place in the order in which rows arrive. */
async function arrival(tx: EntityManager): Promise<number> {
  const [row] = await tx.query<{ arrival: number }[]>('SELECT catena_arrival() AS arrival');
  return row!.arrival;
}

async function openEndpoint(
  tx: EntityManager,
  caller: Caller,
  name: string,
  lock: boolean,
): Promise<Endpoint> {
  const endpoint = await getEndpoint(tx, caller, name, lock);
  refuseArchived(endpoint);
  return endpoint;
}

async function armsInForce(tx: EntityManager, endpoint: Endpoint): Promise<string[] | undefined> {
  const split = await findSplit(tx, endpoint, endpoint.splitRevision);
  return split?.arms.map(({ name }) => name);
}

/** @throws DomainError NOT_FOUND. */
export async function getTest(manager: EntityManager, endpoint: Endpoint, id: string): Promise<AbTest> {
  const { workspaceId, id: endpointId } = endpoint;
  const found = validate(id) ? await manager.findOneBy(AbTest, { id, workspaceId, endpointId }) : null;
  if (!found)
    throw new DomainError(
      'NOT_FOUND',
      `The endpoint "${endpoint.name}" has no A/B test ${id}; GET /api/v1/endpoints/${endpoint.name}/ab-tests lists those it has.`,
    );
  return found;
}

/** @throws DomainError VALIDATION_FAILED. */
function armFor({ decision, arm }: DecideAbTestDto, control: string, arms: readonly string[]): string {
  const refuse = (message: string) =>
    new DomainError('VALIDATION_FAILED', `/arm ${message}.`, [{ path: '/arm', message }]);
  const list = arms.map((name) => `"${name}"`).join(', ');
  if (decision === 'roll_back') {
    if (arm !== undefined && arm !== control)
      throw refuse(`must be left out: going back is going back to control, "${control}"`);
    if (!arms.includes(control))
      throw refuse(`cannot be "${control}": the split in force has ${list}; put a split with it instead`);
    return control;
  }
  const treatments = arms.filter((name) => name !== control);
  if (arm === undefined && treatments.length === 1) return treatments[0]!;
  if (arm === undefined)
    throw refuse(`must be given: the split in force has ${treatments.length} treatments (${list})`);
  if (!treatments.includes(arm))
    throw refuse(`must name a treatment of the split in force, which has ${list}`);
  return arm;
}

/** @throws DomainError IN_USE. */
async function refuseOtherRunning(tx: EntityManager, row: AbTest, name: string): Promise<void> {
  const { workspaceId, endpointId } = row;
  const other = await tx.findOneBy(AbTest, { workspaceId, endpointId, status: 'running' });
  if (other)
    throw new DomainError(
      'IN_USE',
      `The A/B test ${other.id} runs on the endpoint "${name}" by now, and a decision on ${row.id} would end its phase. Decide that one, or put a split.`,
    );
}

function wrongStatus({ id, status, decision }: AbTest, allowed: readonly AbTestStatus[]): DomainError {
  const is =
    decision !== null
      ? `is decided (${decision})`
      : { draft: 'is a draft', running: 'runs already', stopped: 'has ended' }[status];
  const mend =
    status === 'draft'
      ? 'Start it first.'
      : allowed.includes('draft')
        ? 'What a test is judged by is fixed when it starts; make another one.'
        : 'Make another one.';
  return new DomainError('IMMUTABLE', `The A/B test ${id} ${is}. ${mend}`);
}

function toDto(row: AbTest, endpoint: Endpoint): AbTestDto {
  const {
    workspaceId: _workspace,
    endpointId: _endpoint,
    serial: _serial,
    metrics: _metrics,
    startedArrival: _started,
    stoppedArrival: _stopped,
    covariateUnits: _covariates,
    rules,
    ...fields
  } = row;
  return { ...fields, ...rules, endpoint: endpoint.name } as AbTestDto;
}
