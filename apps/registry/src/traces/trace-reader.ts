import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { DomainError } from '#libs/core/errors/catalogue.js';
import type { Filter, OrderTerm } from '#libs/core/search/ast.js';
import type { Caller } from '../http/caller.js';
import { decodeCursor, pageOf, type Page } from '../http/page.js';
import { Parameters } from '../search/parameters.js';
import { readAssessments, type Assessment } from '../assessments/assessment-rows.js';
import { readSpans } from './span-rows.js';
import type { TraceInfo } from './trace.js';
import { traceFilterSql } from './trace-filter-sql.js';
import { TraceOrder } from './trace-order.js';
import { noSuchTrace } from './trace-writer.js';

export interface TraceQuery {
  /** Numbers of experiments. */
  readonly experiments: readonly number[];
  readonly filter?: Filter | undefined;
  readonly order?: readonly OrderTerm[] | undefined;
  readonly limit: number;
  readonly cursor?: string | undefined;
}

export interface FoundTrace extends TraceInfo {
  readonly assessments: readonly Assessment[];
}

export interface WholeTrace extends FoundTrace {
  /** Texts in the form of `SpanContent`: the root first, then by start. */
  readonly spans: readonly string[];
}

const COLUMNS = `
  t.serial, t.trace_id AS "traceId", e.number AS "experimentNumber", e.artifact_location AS "artifactLocation",
  t.time_ms AS "timeMs", t.duration_ms AS "durationMs", t.state, t.request_preview AS "requestPreview",
  t.response_preview AS "responsePreview", t.client_request_id AS "clientRequestId", t.metadata, t.tags`;

/** Most experiments that one search looks through. */
const MAX_EXPERIMENTS = 1_000;

@Injectable()
export class TraceReader {
  constructor(private readonly database: DataSource) {}

  /** @throws DomainError NOT_FOUND. */
  async get(caller: Caller, traceId: string): Promise<FoundTrace> {
    const [found] = await this.find(caller, [traceId]);
    if (found === undefined) throw noSuchTrace(traceId);
    return found;
  }

  /** @throws DomainError NOT_FOUND. */
  async getWhole(caller: Caller, traceId: string): Promise<WholeTrace> {
    const [found] = await this.findWhole(caller, [traceId]);
    if (found === undefined) throw noSuchTrace(traceId);
    return found;
  }

  /** Those there are, in the order asked for; with `experiments`, only from these. */
  async find(
    caller: Caller,
    traceIds: readonly string[],
    experiments?: readonly number[],
  ): Promise<FoundTrace[]> {
    const ids = [...new Set(traceIds)];
    const rows: TraceInfo[] = await this.database.query(
      `SELECT ${COLUMNS} FROM trace t JOIN experiment e ON e.serial = t.experiment
        WHERE t.workspace_id = $1 AND t.trace_id = ANY($2) AND ($3::integer[] IS NULL OR e.number = ANY($3))
        ORDER BY array_position($2::text[], t.trace_id)`,
      [caller.workspaceId, ids, experiments ?? null],
    );
    return this.withAssessments(rows);
  }

  async findWhole(
    caller: Caller,
    traceIds: readonly string[],
    experiments?: readonly number[],
  ): Promise<WholeTrace[]> {
    const found = await this.find(caller, traceIds, experiments);
    const spans = await readSpans(
      this.database.manager,
      found.map((trace) => trace.serial),
    );
    return found.map((trace) => ({ ...trace, spans: spans.get(trace.serial) ?? [] }));
  }

  /** @throws DomainError VALIDATION_FAILED (the filter), INVALID_CURSOR. */
  async search(caller: Caller, query: TraceQuery): Promise<Page<FoundTrace>> {
    const statement = searchStatement(caller, query);
    const rows: { k0: unknown; serial: number }[] = await this.rows(statement);
    const page = pageOf(
      rows,
      query.limit,
      statement.order.positionOf.bind(statement.order),
      (row) => row.serial,
    );
    const infos: TraceInfo[] = await this.database.query(
      `SELECT ${COLUMNS} FROM trace t JOIN experiment e ON e.serial = t.experiment
        WHERE t.serial = ANY($1) ORDER BY array_position($1::bigint[], t.serial)`,
      [page.items],
    );
    return { items: await this.withAssessments(infos), nextCursor: page.nextCursor };
  }

  /** How many traces each filter finds, and how many all of them, of those that `base` finds. */
  async countOverlap(
    caller: Caller,
    experiments: readonly number[],
    filters: { readonly base: Filter | undefined; readonly first: Filter; readonly second: Filter },
  ): Promise<{ total: number; first: number; second: number; joint: number }> {
    const parameters = new Parameters();
    const scope = `(SELECT serial FROM experiment WHERE workspace_id = ${parameters.add(caller.workspaceId, 'uuid')}
                       AND number = ANY(${parameters.add(experimentsOf(experiments), 'int[]')})) e`;
    const text = `
      SELECT count(*) AS total, count(*) FILTER (WHERE a) AS first, count(*) FILTER (WHERE b) AS second,
             count(*) FILTER (WHERE a AND b) AS joint
        FROM ${scope} CROSS JOIN LATERAL (
             SELECT coalesce(${traceFilterSql(filters.first, parameters)}, false) AS a,
                    coalesce(${traceFilterSql(filters.second, parameters)}, false) AS b
               FROM trace t WHERE t.experiment = e.serial
                ${filters.base ? `AND ${traceFilterSql(filters.base, parameters)}` : ''} OFFSET 0) AS found`;
    const [counts] = await this.rows<{ total: number; first: number; second: number; joint: number }>({
      text,
      values: parameters.values,
    });
    return counts!;
  }

  private async withAssessments(rows: readonly TraceInfo[]): Promise<FoundTrace[]> {
    const serials = rows.map((row) => row.serial);
    const assessments =
      serials.length === 0
        ? new Map<number, Assessment[]>()
        : await readAssessments(this.database.manager, serials);
    return rows.map((row) => ({ ...row, assessments: assessments.get(row.serial) ?? [] }));
  }

  private async rows<T>({ text, values }: { text: string; values: readonly unknown[] }): Promise<T[]> {
    try {
      return await this.database.query(text, [...values]);
    } catch (error) {
      // https://www.postgresql.org/docs/current/errcodes-appendix.html: invalid_regular_expression
      if ((error as { code?: string }).code === '2201B')
        throw new DomainError(
          'VALIDATION_FAILED',
          `The filter holds a regular expression that is not valid: ${(error as Error).message}.`,
        );
      throw error;
    }
  }
}

/**
 * Serials of one page and one more, experiment by experiment, so that each reads no more of its index than the page
 * needs.
 */
export function searchStatement(
  caller: Caller,
  query: TraceQuery,
): { text: string; values: unknown[]; order: TraceOrder } {
  const parameters = new Parameters();
  const order = new TraceOrder(query.order ?? [], parameters);
  const experiments = parameters.add(experimentsOf(query.experiments), 'int[]');
  const workspace = parameters.add(caller.workspaceId, 'uuid');
  const conditions = ['t.experiment = e.serial'];
  if (query.filter !== undefined) conditions.push(traceFilterSql(query.filter, parameters));
  const after = decodeCursor(query.cursor, order.isPosition);
  if (after !== undefined) conditions.push(order.after(after, parameters));
  const limit = parameters.add(query.limit + 1, 'int');
  const text = `
    SELECT page.* FROM (SELECT serial FROM experiment WHERE workspace_id = ${workspace} AND number = ANY(${experiments})) e
     CROSS JOIN LATERAL (SELECT t.serial, ${order.columns} FROM trace t WHERE ${conditions.join(' AND ')}
                          ORDER BY ${order.by('table')} LIMIT ${limit}) page
     ORDER BY ${order.by('columns')} LIMIT ${limit}`;
  return { text, values: parameters.values, order };
}

function experimentsOf(numbers: readonly number[]): number[] {
  if (numbers.length > MAX_EXPERIMENTS)
    throw new DomainError('VALIDATION_FAILED', `Search at most ${MAX_EXPERIMENTS} experiments at a time.`);
  return [...new Set(numbers)].filter(
    (number) => Number.isInteger(number) && number >= 0 && number < 2 ** 31,
  );
}
