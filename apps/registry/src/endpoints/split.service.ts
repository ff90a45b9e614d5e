import { randomBytes } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import { v7 } from 'uuid';
import { bucketOf, unitProblem } from '#libs/core/assignment/assign.js';
import { armAt, compileRanges } from '#libs/core/assignment/split.js';
import { DomainError } from '#libs/core/errors/catalogue.js';
import { recordChange } from '../changes/record-change.js';
import type { Caller } from '../http/caller.js';
import { decodeCursor, isNumberKey, pageOf, type Page, type PageQuery } from '../http/page.js';
import { ArmCheck } from './arm-check.js';
import { Arm } from './arm.entity.js';
import { Endpoint } from './endpoint.entity.js';
import { divisionOf, findSplit, getEndpoint, getSplit, SPLIT_COLUMNS } from './endpoint-read.js';
import { refuseArchived } from './endpoint.service.js';
import { compareDivisions, planDivision, type Division } from './split-plan.js';
import type { SplitPreviewDto } from './split-preview.dto.js';
import type { AssignmentDto, PutSplitDto, RollbackDto, SplitDto, SplitSummaryDto } from './split.dto.js';
import { Split } from './split.entity.js';

/** The division that would come into force, with the ids its arms are stored with. */
interface Planned {
  readonly endpoint: Endpoint;
  readonly current: Division | undefined;
  readonly next: Division;
  /** By position of the arm. */
  readonly chainVersionIds: readonly string[];
}

/** Splits: immutable revisions of how an endpoint's traffic is divided. The last one is in force. */
@Injectable()
export class SplitService {
  constructor(
    private readonly database: DataSource,
    private readonly armCheck: ArmCheck,
  ) {}

  /**
   * Puts a new revision in force.
   * @throws DomainError NOT_FOUND, ARCHIVED, REVISION_CONFLICT, VALIDATION_FAILED and those of `ArmCheck.pin`.
   */
  async put(caller: Caller, name: string, given: PutSplitDto): Promise<SplitDto> {
    return this.database.transaction(async (tx) => {
      const planned = await this.plan(caller, name, given, tx, true);
      return append(tx, caller, planned, given.reason ?? null, null);
    });
  }

  /** Says what `put` would do, and does nothing. Throws what `put` would throw. */
  async preview(caller: Caller, name: string, given: PutSplitDto): Promise<SplitPreviewDto> {
    return this.database.transaction(async (tx) => {
      const { endpoint, current, next, passedOver } = await this.plan(caller, name, given, tx, false);
      return { ...compareDivisions(next, current, endpoint.splitRevision), passedOver };
    });
  }

  /**
   * Puts arms, ranges, salt and overrides of an earlier revision in force again, as a new revision: every unit
   * returns to the arm it had then.
   * @throws DomainError NOT_FOUND, ARCHIVED, REVISION_CONFLICT and those of `ArmCheck.pin`.
   */
  async rollback(caller: Caller, name: string, given: RollbackDto): Promise<SplitDto> {
    return this.database.transaction(async (tx) => {
      const { endpoint, current } = await open(tx, caller, name, given.expectedRevision, true);
      const next = divisionOf(await getSplit(tx, endpoint, given.revision));
      const path = `Revision ${given.revision}`;
      const chains = next.arms.map(({ chain }) => ({ chain, path }));
      const found = await this.armCheck.pin(caller, endpoint, chains, tx);
      const chainVersionIds = found.map((version) => version.versionId);
      const planned = { endpoint, current, next, chainVersionIds };
      return append(tx, caller, planned, given.reason ?? null, given.revision);
    });
  }

  /** @throws DomainError NOT_FOUND. */
  async get(caller: Caller, name: string, revision: number): Promise<SplitDto> {
    const { manager } = this.database;
    return getSplit(manager, await getEndpoint(manager, caller, name), revision);
  }

  /** Newest first. @throws DomainError NOT_FOUND. */
  async list(caller: Caller, name: string, query: PageQuery): Promise<Page<SplitSummaryDto>> {
    const before = decodeCursor(query.cursor, isNumberKey);
    const endpoint = await getEndpoint(this.database.manager, caller, name);
    const rows: SplitSummaryDto[] = await this.database.query(
      `SELECT ${SPLIT_COLUMNS} FROM split s
        WHERE s.workspace_id = $1 AND s.endpoint_id = $2 AND ($3::bigint IS NULL OR s.revision < $3)
        ORDER BY s.revision DESC LIMIT $4`,
      [caller.workspaceId, endpoint.id, before ?? null, query.limit + 1],
    );
    return pageOf(
      rows,
      query.limit,
      (row) => row.revision,
      (row) => row,
    );
  }

  /** Where the split in force sends a unit. @throws DomainError NOT_FOUND, VALIDATION_FAILED. */
  async assign(caller: Caller, name: string, unit: string): Promise<AssignmentDto> {
    const problem = unitProblem(unit);
    if (problem !== undefined)
      throw new DomainError('VALIDATION_FAILED', problem, [{ path: '/unit', message: problem }]);
    const { manager } = this.database;
    const endpoint = await getEndpoint(manager, caller, name);
    const split = await getSplit(manager, endpoint, endpoint.splitRevision);
    const bucket = bucketOf(split.salt, unit);
    const pinned = divisionOf(split).overrides.get(unit);
    const arm =
      pinned === undefined
        ? split.arms[armAt(compileRanges(split.arms), bucket)!]!
        : split.arms.find((candidate) => candidate.name === pinned)!;
    return {
      unit,
      splitRevision: split.revision,
      bucket,
      assignment: pinned === undefined ? 'split' : 'override',
      arm: arm.name,
      chain: arm.chain,
    };
  }

  private async plan(
    caller: Caller,
    name: string,
    given: PutSplitDto,
    tx: EntityManager,
    lock: boolean,
  ): Promise<Planned & Pick<SplitPreviewDto, 'passedOver'>> {
    const { endpoint, current } = await open(tx, caller, name, given.expectedRevision, lock);
    const chains = given.arms.map(({ chain }, index) => ({ chain, path: `/arms/${index}/chain` }));
    const found = await this.armCheck.pin(caller, endpoint, chains, tx);
    const arms = given.arms.map((arm, index) => {
      const { name: chain, version, digest } = found[index]!;
      return { name: arm.name, weightBps: arm.weightBps, chain: { name: chain, version, digest } };
    });
    const request = {
      arms,
      ...(given.salt !== undefined && { salt: given.salt }),
      ...(given.overrides && { overrides: given.overrides }),
    };
    const chainVersionIds = found.map((version) => version.versionId);
    const passedOver = given.arms.flatMap((arm, index) =>
      found[index]!.passedOver.map((modelEndpoint) => ({ arm: arm.name, modelEndpoint })),
    );
    return { endpoint, current, next: planDivision(request, current), chainVersionIds, passedOver };
  }
}

/**
 * The endpoint and the division in force. Writers lock the endpoint's row, so that revisions are made one at a time.
 * @throws DomainError NOT_FOUND, ARCHIVED, REVISION_CONFLICT.
 */
async function open(
  tx: EntityManager,
  caller: Caller,
  name: string,
  expectedRevision: number | undefined,
  lock: boolean,
): Promise<{ endpoint: Endpoint; current: Division | undefined }> {
  const endpoint = await getEndpoint(tx, caller, name, lock);
  refuseArchived(endpoint);
  const split = await findSplit(tx, endpoint, endpoint.splitRevision);
  if (expectedRevision !== undefined && expectedRevision !== endpoint.splitRevision) {
    const current = split && withoutOverrides(split);
    throw new DomainError(
      'REVISION_CONFLICT',
      `The endpoint "${name}" is at split revision ${endpoint.splitRevision}, not ${expectedRevision}; look at it, and send ${endpoint.splitRevision} to replace it.`,
      { expectedRevision, currentRevision: endpoint.splitRevision, current: current ?? null },
    );
  }
  return { endpoint, current: split && divisionOf(split) };
}

function withoutOverrides({ overrides: _overrides, ...summary }: SplitDto): SplitSummaryDto {
  return summary;
}

async function append(
  tx: EntityManager,
  caller: Caller,
  { endpoint, current, next, chainVersionIds }: Planned,
  reason: string | null,
  rollbackOf: number | null,
): Promise<SplitDto> {
  const { workspaceId } = caller;
  const revision = endpoint.splitRevision + 1;
  const now = new Date();
  const { movedBuckets } = compareDivisions(next, current, endpoint.splitRevision);
  const split: Split = {
    id: v7(),
    workspaceId,
    endpointId: endpoint.id,
    revision,
    salt: next.salt ?? randomBytes(9).toString('base64url'),
    overrides: Object.fromEntries(next.overrides),
    rollbackOf,
    movedBuckets,
    reason,
    createdAt: now,
    createdBy: caller.actor,
  };
  await tx.insert(Split, split);
  await tx.insert(
    Arm,
    next.arms.map(({ name, weightBps, ranges }, position) => ({
      workspaceId,
      splitId: split.id,
      position,
      name,
      chainVersionId: chainVersionIds[position]!,
      weightBps,
      ranges,
    })),
  );
  const advanced = { splitRevision: revision, updatedAt: now };
  await tx.update(Endpoint, { id: endpoint.id, workspaceId }, advanced);
  const answer = await getSplit(tx, Object.assign(endpoint, advanced), revision);
  await recordChange(tx, workspaceId, 'endpoint', endpoint.id);
  return answer;
}
