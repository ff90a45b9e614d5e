import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { v7, validate } from 'uuid';
import { DomainError } from '#libs/core/errors/catalogue.js';
import type { Condition, Filter } from '#libs/core/search/ast.js';
import { ExperimentService } from '../experiments/experiment.service.js';
import type { Caller } from '../http/caller.js';
import { decodeCursor, pageOf, type Page } from '../http/page.js';
import { filterSql, hexId, idCondition, textCondition } from '../search/conditions.js';
import { Parameters } from '../search/parameters.js';
import type { Issue, IssuePatch, NewIssue } from './issue.js';
import { assertIssue } from './issue.rules.js';

export interface IssueQuery {
  /** Number of the experiment; absent: all of the workspace. */
  readonly experiment?: number | undefined;
  readonly filter?: Filter | undefined;
  /** Counts the traces of each, and puts those with more of them first among equally severe ones. */
  readonly withTraceCount?: boolean | undefined;
  readonly limit: number;
  readonly cursor?: string | undefined;
}

const COLUMNS = `
  i.id, e.number AS "experimentNumber", i.name, i.description, i.status, i.severity, i.root_causes AS "rootCauses",
  i.categories, i.source_run_id AS "sourceRunId", i.created_at AS "createdAt", i.created_by AS "createdBy",
  i.updated_at AS "updatedAt"`;
const FROM = `issue i JOIN experiment e ON e.serial = i.experiment`;
/** What assessments call an issue. */
const ISSUE_PREFIX = 'iss-';
const TRACE_COUNT = `CROSS JOIN LATERAL (
  SELECT count(DISTINCT a.trace) AS traces FROM assessment a
   WHERE a.experiment = i.experiment AND a.kind = 'issue' AND a.name = ${hexId('i.id', ISSUE_PREFIX)}) c`;

/** Rank of the severity, number of traces (0 where not asked for), time in milliseconds, id. */
type Place = readonly [number, number, number, string];

@Injectable()
export class IssueService {
  constructor(
    private readonly database: DataSource,
    private readonly experiments: ExperimentService,
  ) {}

  /** @throws DomainError NOT_FOUND (the experiment), DELETED, REFERENCE_NOT_FOUND (the run), VALIDATION_FAILED. */
  async create(caller: Caller, given: NewIssue): Promise<Issue> {
    assertIssue(given);
    const experiment = await this.experiments.getActive(caller, { number: given.experimentNumber });
    const sourceRunId = given.sourceRunId ?? null;
    if (sourceRunId !== null) await this.assertRun(caller, sourceRunId);
    const id = v7();
    const now = new Date();
    await this.database.query(
      `INSERT INTO issue (id, workspace_id, experiment, name, description, status, severity, root_causes, categories,
                          source_run_id, created_at, created_by, updated_at)
       VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $11)`,
      [
        id,
        caller.workspaceId,
        experiment.serial,
        given.name,
        given.description,
        given.status ?? 'pending',
        given.severity ?? null,
        given.rootCauses ?? [],
        given.categories ?? [],
        sourceRunId,
        now,
        given.createdBy,
      ],
    );
    return this.get(caller, id);
  }

  /** @throws DomainError NOT_FOUND. */
  async get(caller: Caller, id: string): Promise<Issue> {
    const [found]: Issue[] = await this.database.query(
      `SELECT ${COLUMNS} FROM ${FROM} WHERE i.workspace_id = $1 AND i.id = $2`,
      [caller.workspaceId, validate(id) ? id : null],
    );
    if (found === undefined) throw noSuchIssue(id);
    return found;
  }

  /** @throws DomainError NOT_FOUND, VALIDATION_FAILED. */
  async update(caller: Caller, id: string, patch: IssuePatch): Promise<Issue> {
    assertIssue(patch);
    const [, changed]: [unknown, number] = await this.database.query(
      `UPDATE issue SET name = COALESCE($3, name), description = COALESCE($4, description), status = COALESCE($5, status),
              severity = CASE WHEN $6 THEN $7 ELSE severity END, updated_at = $8
        WHERE workspace_id = $1 AND id = $2`,
      [
        caller.workspaceId,
        validate(id) ? id : null,
        patch.name ?? null,
        patch.description ?? null,
        patch.status ?? null,
        patch.severity !== undefined,
        patch.severity ?? null,
        new Date(),
      ],
    );
    if (changed === 0) throw noSuchIssue(id);
    return this.get(caller, id);
  }

  /** The worst first, then the newest. @throws DomainError NOT_FOUND (the experiment), INVALID_CURSOR. */
  async search(caller: Caller, query: IssueQuery): Promise<Page<Issue>> {
    const after = decodeCursor(query.cursor, isPlace);
    const parameters = new Parameters();
    const conditions = [`i.workspace_id = ${parameters.add(caller.workspaceId, 'uuid')}`];
    if (query.experiment !== undefined) {
      const { serial } = await this.experiments.get(caller, { number: query.experiment });
      conditions.push(`i.experiment = ${parameters.add(serial, 'int')}`);
    }
    if (query.filter !== undefined) conditions.push(filterSql(query.filter, parameters, conditionSql));
    const traces = query.withTraceCount ? 'c.traces' : '0::bigint';
    if (after !== undefined) {
      const [rank, count, timeMs, id] = after;
      const place = [
        parameters.add(rank, 'smallint'),
        ...(query.withTraceCount ? [parameters.add(count, 'bigint')] : []),
        parameters.add(new Date(timeMs), 'timestamptz'),
        parameters.add(id, 'uuid'),
      ];
      conditions.push(
        `(i.severity_rank, ${query.withTraceCount ? 'c.traces, ' : ''}i.created_at, i.id) < (${place.join(', ')})`,
      );
    }
    const rows: (Issue & { rank: number; traces: number })[] = await this.database.query(
      `SELECT ${COLUMNS}, i.severity_rank AS rank, ${traces} AS traces
         FROM ${FROM} ${query.withTraceCount ? TRACE_COUNT : ''} WHERE ${conditions.join(' AND ')}
        ORDER BY i.severity_rank DESC, ${query.withTraceCount ? 'c.traces DESC, ' : ''}i.created_at DESC, i.id DESC
        LIMIT ${parameters.add(query.limit + 1, 'int')}`,
      parameters.values,
    );
    return pageOf(
      rows,
      query.limit,
      (row): Place => [row.rank, row.traces, row.createdAt.getTime(), row.id],
      ({ rank: _rank, traces: traceCount, ...issue }) =>
        query.withTraceCount ? { ...issue, traceCount } : issue,
    );
  }

  private async assertRun(caller: Caller, runId: string): Promise<void> {
    const found: unknown[] = await this.database.query(
      `SELECT FROM run WHERE workspace_id = $1 AND id = $2`,
      [caller.workspaceId, validate(runId) ? runId : null],
    );
    if (found.length === 0)
      throw new DomainError('REFERENCE_NOT_FOUND', `/sourceRunId: There is no run "${runId.slice(0, 64)}".`, {
        path: '/sourceRunId',
      });
  }
}

const isPlace = (key: unknown): key is Place =>
  Array.isArray(key) &&
  key.length === 4 &&
  Number.isInteger(key[0]) &&
  key[0] >= -1 &&
  key[0] <= 3 &&
  Number.isSafeInteger(key[1]) &&
  Number.isSafeInteger(key[2]) &&
  Math.abs(key[2] as number) <= 253_402_300_799_999 &&
  validate(key[3]);

function conditionSql(condition: Condition, parameters: Parameters): string {
  return condition.field.key === 'source_run_id'
    ? idCondition('i.source_run_id', condition, parameters)
    : textCondition('i.status', condition, parameters);
}

function noSuchIssue(id: string): DomainError {
  return new DomainError('NOT_FOUND', `There is no issue "${id.slice(0, 64)}".`);
}
