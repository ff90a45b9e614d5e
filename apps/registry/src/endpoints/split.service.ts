import { randomBytes } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import { v7 } from 'uuid';
import { bucketOf, unitProblem } from '#libs/core/assignment/assign.js';
import { armAt, compileRanges } from '#libs/core/assignment/split.js';
import { taskOf } from '#libs/core/content/chain.js';
import type { ChainContent, Reference } from '#libs/core/content/types.js';
import { DomainError } from '#libs/core/errors/catalogue.js';
import { recordChange } from '../changes/record-change.js';
import type { Caller } from '../http/caller.js';
import { decodeCursor, isNumberKey, pageOf, type Page, type PageQuery } from '../http/page.js';
import { ArmCheck, type ServableVersion } from './arm-check.js';
import { Arm } from './arm.entity.js';
import { Endpoint } from './endpoint.entity.js';
import { divisionOf, findSplit, getEndpoint, getSplit, SPLIT_COLUMNS } from './endpoint-read.js';
import { refuseArchived } from './endpoint.service.js';
import { compareDivisions, planDivision, type Division } from './split-plan.js';
import type { SplitPreviewDto } from './split-preview.dto.js';
import type {
  AssignmentDto,
  PinnedChainDto,
  PutSplitDto,
  RollbackDto,
  ShadowDto,
  SplitDto,
  SplitSummaryDto,
} from './split.dto.js';
import { Shadow } from './shadow.entity.js';
import { Split } from './split.entity.js';

/** The division that would come into force, with the ids its arms are stored with. */
interface Planned {
  readonly endpoint: Endpoint;
  readonly current: Division | undefined;
  readonly next: Division;
  /** By position of the arm. */
  readonly chainVersionIds: readonly string[];
  /** By position of the shadow; else the revision whose shadows stay as they are. */
  readonly shadowVersionIds: readonly string[] | { readonly asIn: number };
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
   * @param within a transaction that it becomes a part of; else it is one.
   * @throws DomainError NOT_FOUND, ARCHIVED, REVISION_CONFLICT, VALIDATION_FAILED and those of `ArmCheck.pin`.
   */
  async put(caller: Caller, name: string, given: PutSplitDto, within?: EntityManager): Promise<SplitDto> {
    const inside = async (tx: EntityManager) => {
      const planned = await this.plan(caller, name, given, tx, true);
      return append(tx, caller, planned, given.reason ?? null, null);
    };
    return within ? inside(within) : this.database.transaction(inside);
  }

  /** Says what `put` would do, and does nothing. Throws what `put` would throw. */
  async preview(caller: Caller, name: string, given: PutSplitDto): Promise<SplitPreviewDto> {
    return this.database.transaction(async (tx) => {
      const { endpoint, current, next, passedOver } = await this.plan(caller, name, given, tx, false);
      return { ...compareDivisions(next, current, endpoint.splitRevision), passedOver };
    });
  }

  /**
   * Puts arms, ranges, salt, overrides and shadows of an earlier revision in force again, as a new revision: every unit
   * returns to the arm it had then. Shadows are not checked: no rollback is to fail because of them.
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
      const shadowVersionIds = { asIn: given.revision };
      const planned = { endpoint, current, next, chainVersionIds, shadowVersionIds };
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
    const chains = given.arms.map(({ chain }, index) => ({
      chain,
      path: `/arms/${index}/chain`,
      isInForce: current?.arms.some((arm) => isPinOf(chain, arm.chain)) ?? false,
    }));
    const copied = (given.shadows ?? []).map(({ chain }, index) => ({
      chain,
      path: `/shadows/${index}/chain`,
    }));
    const pinned = await this.armCheck.pin(caller, endpoint, [...chains, ...copied], tx);
    const found = pinned.slice(0, chains.length);
    const shadowing = pinned.slice(chains.length);
    refuseEmbedding(shadowing);
    const arms = given.arms.map(({ name, weightBps }, index) => ({
      name,
      weightBps,
      chain: pinnedChain(found[index]!),
    }));
    const shadows = given.shadows?.map(({ name, sampleBps }, index) => ({
      name,
      sampleBps,
      chain: pinnedChain(shadowing[index]!),
    }));
    const request = {
      arms,
      ...(given.salt !== undefined && { salt: given.salt }),
      ...(given.overrides && { overrides: given.overrides }),
      ...(shadows && { shadows }),
    };
    const chainVersionIds = found.map((version) => version.versionId);
    const passedOver = [...given.arms, ...(given.shadows ?? [])].flatMap((arm, index) =>
      pinned[index]!.passedOver.map((modelEndpoint) => ({ arm: arm.name, modelEndpoint })),
    );
    const shadowVersionIds = shadows
      ? shadowing.map((version) => version.versionId)
      : { asIn: endpoint.splitRevision };
    const next = planDivision(request, current);
    return { endpoint, current, next, chainVersionIds, shadowVersionIds, passedOver };
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
  { endpoint, current, next, chainVersionIds, shadowVersionIds }: Planned,
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
  await insertShadows(tx, split, next.shadows, shadowVersionIds);
  const advanced = { splitRevision: revision, updatedAt: now };
  await tx.update(Endpoint, { id: endpoint.id, workspaceId }, advanced);
  const answer = await getSplit(tx, Object.assign(endpoint, advanced), revision);
  await recordChange(tx, workspaceId, 'endpoint', endpoint.id);
  return answer;
}

async function insertShadows(
  tx: EntityManager,
  { id: splitId, endpointId, workspaceId }: Split,
  shadows: readonly ShadowDto[],
  versionIds: Planned['shadowVersionIds'],
): Promise<void> {
  if ('asIn' in versionIds) {
    await tx.query(
      `INSERT INTO shadow (workspace_id, split_id, position, name, chain_version_id, sample_bps)
       SELECT w.workspace_id, $1, w.position, w.name, w.chain_version_id, w.sample_bps
         FROM shadow w JOIN split s ON s.id = w.split_id
        WHERE s.workspace_id = $2 AND s.endpoint_id = $3 AND s.revision = $4`,
      [splitId, workspaceId, endpointId, versionIds.asIn],
    );
    return;
  }
  if (shadows.length === 0) return;
  await tx.insert(
    Shadow,
    shadows.map(({ name, sampleBps }, position) => ({
      workspaceId,
      splitId,
      position,
      name,
      chainVersionId: versionIds[position]!,
      sampleBps,
    })),
  );
}

function isPinOf(reference: Reference, { name, version, digest }: PinnedChainDto): boolean {
  if (typeof reference === 'string') return false;
  return reference.name === name && reference.version === version && reference.digest === digest;
}

function pinnedChain({ name, version, digest }: ServableVersion): PinnedChainDto {
  return { name, version, digest };
}

/** @throws DomainError VALIDATION_FAILED: embeddings are not copied. */
function refuseEmbedding(shadows: readonly ServableVersion[]): void {
  if (shadows.length === 0 || taskOf(JSON.parse(shadows[0]!.content) as ChainContent) === 'generate') return;
  const message = 'Embeddings have no shadows; leave the shadows out.';
  throw new DomainError('VALIDATION_FAILED', `/shadows: ${message}`, [{ path: '/shadows', message }]);
}
