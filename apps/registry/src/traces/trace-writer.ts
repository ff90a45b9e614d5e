import { Injectable } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import { v7 } from 'uuid';
import { DomainError } from '#libs/core/errors/catalogue.js';
import type { Caller } from '../http/caller.js';
import {
  assessmentsOfNewTrace,
  upsertAssessments,
  type NewAssessment,
} from '../assessments/assessment-rows.js';
import { ExperimentService } from '../experiments/experiment.service.js';
import { type SpanGroup, sketchTraces, type TraceSketch } from './span-batch.js';
import { upsertSpans } from './span-rows.js';
import { ARTIFACT_LOCATION, countOrNull, readFigures, TOKEN_USAGE, type NewTrace } from './trace.js';
import { assertTrace } from './trace-rules.js';
import { treeTotals } from './tree-totals.js';

/** A trace as a batch of spans finds it. */
interface Met {
  readonly serial: number;
  readonly traceId: string;
  readonly experiment: number;
}

/** Writes traces. Batches are one transaction, may be sent again, and lock traces in order of id. */
@Injectable()
export class TraceWriter {
  constructor(
    private readonly database: DataSource,
    private readonly experiments: ExperimentService,
  ) {}

  /**
   * Stores what a client says of a whole trace. Sent again, or after some of its spans, it is what counts: times, state
   * and previews are replaced, metadata and tags added to, spans kept.
   * @throws DomainError NOT_FOUND, DELETED (the experiment), VALIDATION_FAILED.
   */
  async record(
    caller: Caller,
    experimentNumber: number,
    trace: NewTrace,
    assessments: readonly NewAssessment[] = [],
  ): Promise<void> {
    assertTrace(trace);
    const experiment = await this.experiments.getActive(caller, { number: experimentNumber });
    const tokens = readFigures(trace.metadata[TOKEN_USAGE]) ?? {};
    const { [ARTIFACT_LOCATION]: _, ...tags } = trace.tags;
    await this.database.transaction(async (tx) => {
      const [met]: [{ serial: number }] = await tx.query(RECORD, [
        v7(),
        caller.workspaceId,
        trace.traceId,
        experiment.serial,
        trace.timeMs,
        trace.durationMs,
        trace.state,
        trace.requestPreview,
        trace.responsePreview,
        trace.clientRequestId,
        JSON.stringify(trace.metadata),
        JSON.stringify(tags),
        ...tokenColumns(tokens),
        new Date(),
      ]);
      // A trace that moves takes along what names its experiment.
      for (const table of ['span', 'assessment'])
        await tx.query(`UPDATE ${table} SET experiment = $2 WHERE trace = $1 AND experiment <> $2`, [
          met.serial,
          experiment.serial,
        ]);
      await upsertAssessments(
        tx,
        { serial: met.serial, experiment: experiment.serial },
        assessmentsOfNewTrace(trace.traceId, assessments),
      );
    });
  }

  /**
   * Stores spans, all or none, and makes or completes their traces. A span that is there is replaced.
   * @returns ids of the traces whose root span was among them.
   * @throws DomainError NOT_FOUND, DELETED (the experiment), VALIDATION_FAILED.
   */
  async addSpans(
    caller: Caller,
    experimentNumber: number,
    groups: readonly SpanGroup[],
  ): Promise<{ rootedTraceIds: string[] }> {
    const experiment = await this.experiments.getActive(caller, { number: experimentNumber });
    const sketches = sketchTraces(groups);
    if (sketches.length > 0)
      await this.database.transaction(async (tx) => {
        const met = await upsertTraces(tx, caller, experiment.serial, sketches);
        await upsertSpans(tx, met, sketches);
        const counted = sketches.filter((sketch) => sketch.hasFigures).map((sketch) => sketch.traceId);
        if (counted.length > 0)
          await countTokens(
            tx,
            counted.map((id) => met.get(id)!.serial),
          );
      });
    const isRooted = (sketch: TraceSketch): boolean => sketch.spans.some((span) => span.parentId === null);
    return { rootedTraceIds: sketches.filter(isRooted).map((sketch) => sketch.traceId) };
  }

  /** As the deprecated protocol ends a trace it began. @throws DomainError NOT_FOUND. */
  async end(
    caller: Caller,
    traceId: string,
    endMs: number,
    given: Pick<NewTrace, 'state' | 'metadata' | 'tags'>,
  ): Promise<void> {
    const tokens = readFigures(given.metadata[TOKEN_USAGE]) ?? {};
    const { [ARTIFACT_LOCATION]: _, ...tags } = given.tags;
    const [, changed]: [unknown, number] = await this.database.query(
      `UPDATE trace SET duration_ms = $3 - time_ms, state = $4, metadata = metadata || $5::jsonb, tags = tags || $6::jsonb,
              input_tokens = coalesce($7, input_tokens), output_tokens = coalesce($8, output_tokens),
              total_tokens = coalesce($9, total_tokens), cache_read_tokens = coalesce($10, cache_read_tokens),
              cache_creation_tokens = coalesce($11, cache_creation_tokens)
        WHERE workspace_id = $1 AND trace_id = $2`,
      [
        caller.workspaceId,
        traceId,
        endMs,
        given.state,
        JSON.stringify(given.metadata),
        JSON.stringify(tags),
        ...tokenColumns(tokens),
      ],
    );
    if (changed === 0) throw noSuchTrace(traceId);
  }
}

export const noSuchTrace = (traceId: string): DomainError =>
  new DomainError(
    'NOT_FOUND',
    `Trace with ID '${traceId.slice(0, 250)}' not found; search the traces to see which are.`,
  );

const RECORD = `
  INSERT INTO trace AS t (id, workspace_id, trace_id, experiment, time_ms, duration_ms, state, request_preview, response_preview,
                          client_request_id, metadata, tags, input_tokens, output_tokens, total_tokens, cache_read_tokens,
                          cache_creation_tokens, created_at, finalized)
  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, true)
  ON CONFLICT ON CONSTRAINT trace_trace_id_key DO UPDATE SET
    experiment = excluded.experiment, time_ms = excluded.time_ms, duration_ms = excluded.duration_ms, state = excluded.state,
    request_preview = coalesce(excluded.request_preview, t.request_preview),
    response_preview = coalesce(excluded.response_preview, t.response_preview),
    client_request_id = coalesce(excluded.client_request_id, t.client_request_id),
    metadata = t.metadata || excluded.metadata, tags = t.tags || excluded.tags,
    input_tokens = coalesce(excluded.input_tokens, t.input_tokens),
    output_tokens = coalesce(excluded.output_tokens, t.output_tokens),
    total_tokens = coalesce(excluded.total_tokens, t.total_tokens),
    cache_read_tokens = coalesce(excluded.cache_read_tokens, t.cache_read_tokens),
    cache_creation_tokens = coalesce(excluded.cache_creation_tokens, t.cache_creation_tokens),
    finalized = true
  RETURNING serial`;

function tokenColumns(tokens: Readonly<Record<string, number>>): (number | null)[] {
  return [
    'input_tokens',
    'output_tokens',
    'total_tokens',
    'cache_read_input_tokens',
    'cache_creation_input_tokens',
  ].map((key) => countOrNull(tokens[key]));
}

/** Makes the traces that are missing, and completes the others by what the batch tells. */
async function upsertTraces(
  tx: EntityManager,
  caller: Caller,
  experiment: number,
  sketches: readonly TraceSketch[],
): Promise<Map<string, Met>> {
  const rows: Met[] = await tx.query(
    `INSERT INTO trace AS t (id, workspace_id, trace_id, experiment, time_ms, duration_ms, state, request_preview,
                             response_preview, metadata, tags, created_at, finalized)
     SELECT id, $1, trace_id, $2, time_ms, duration_ms, state, request_preview, response_preview, metadata::jsonb, tags::jsonb,
            $3, false
       FROM unnest($4::uuid[], $5::text[], $6::bigint[], $7::bigint[], $8::text[], $9::text[], $10::text[], $11::text[], $12::text[])
            AS given (id, trace_id, time_ms, duration_ms, state, request_preview, response_preview, metadata, tags)
     ON CONFLICT ON CONSTRAINT trace_trace_id_key DO UPDATE SET
       time_ms = CASE WHEN t.finalized THEN t.time_ms ELSE least(t.time_ms, excluded.time_ms) END,
       duration_ms = CASE WHEN t.finalized THEN t.duration_ms
                          ELSE greatest(t.time_ms + t.duration_ms, excluded.time_ms + excluded.duration_ms)
                               - least(t.time_ms, excluded.time_ms) END,
       state = CASE WHEN t.state IN ('IN_PROGRESS', 'STATE_UNSPECIFIED') THEN excluded.state ELSE t.state END,
       request_preview = coalesce(t.request_preview, excluded.request_preview),
       response_preview = coalesce(t.response_preview, excluded.response_preview),
       metadata = excluded.metadata || t.metadata,
       tags = t.tags || excluded.tags
     RETURNING serial, trace_id AS "traceId", experiment`,
    [
      caller.workspaceId,
      experiment,
      new Date(),
      sketches.map(() => v7()),
      sketches.map((sketch) => sketch.traceId),
      sketches.map((sketch) => sketch.timeMs),
      sketches.map((sketch) => sketch.durationMs),
      sketches.map((sketch) => sketch.state),
      sketches.map((sketch) => sketch.requestPreview),
      sketches.map((sketch) => sketch.responsePreview),
      sketches.map((sketch) => JSON.stringify(sketch.metadata)),
      sketches.map((sketch) => JSON.stringify(sketch.tags)),
    ],
  );
  return new Map(rows.map((row) => [row.traceId, row]));
}

/** Totals over all spans of each trace, those of earlier batches too. What its client said itself is left as it is. */
async function countTokens(tx: EntityManager, serials: readonly number[]): Promise<void> {
  const spans: { trace: number; id: string; parentId: string | null; usage: Usage | null }[] = await tx.query(
    `SELECT s.trace, s.span_id AS id, s.parent_id AS "parentId", s.usage
       FROM span s JOIN trace t ON t.serial = s.trace
      WHERE s.trace = ANY($1) AND NOT (t.finalized AND t.metadata ? '${TOKEN_USAGE}')`,
    [serials],
  );
  const rows = [...Map.groupBy(spans, (span) => span.trace)].map(([serial, nodes]) => {
    const total = (figures: 'tokens' | 'cost') =>
      treeTotals(nodes.map(({ id, parentId, usage }) => ({ id, parentId, figures: usage?.[figures] })));
    const tokens = total('tokens');
    const cost = total('cost');
    const metadata = JSON.stringify({
      ...(tokens && { [TOKEN_USAGE]: JSON.stringify(tokens) }),
      ...(cost && { 'mlflow.trace.cost': JSON.stringify(cost) }),
    });
    return [serial, metadata, ...tokenColumns(tokens ?? {})] as const;
  });
  const columns = Array.from({ length: 7 }, (_, index) => rows.map((row) => row[index]));
  await tx.query(
    `UPDATE trace t SET metadata = t.metadata || c.metadata::jsonb, input_tokens = c.input, output_tokens = c.output,
            total_tokens = c.total, cache_read_tokens = c.cache_read, cache_creation_tokens = c.cache_creation
       FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[])
            AS c (serial, metadata, input, output, total, cache_read, cache_creation)
      WHERE t.serial = c.serial`,
    columns,
  );
}

interface Usage {
  readonly tokens?: Record<string, number>;
  readonly cost?: Record<string, number>;
}
