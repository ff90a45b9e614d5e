import { Injectable } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import { DomainError } from '#libs/core/errors/catalogue.js';
import type { Caller } from '../http/caller.js';
import { ExperimentService } from '../experiments/experiment.service.js';
import { parseRunId } from '../runs/run-id.js';
import { MAX_NAME, MAX_PAIRS } from './trace.js';
import { assertTag, assertTraceId, isText, refuse } from './trace-rules.js';
import { unlinkFromRuns, type LinkedTrace } from './trace-run-links.js';
import { noSuchTrace } from './trace-writer.js';

/** Most traces that one call links. */
export const MAX_LINKS = 100;
/** How many traces one transaction deletes. */
const DELETE_BATCH = 1_000;

export interface TraceSelection {
  readonly traceIds?: readonly string[] | undefined;
  /** Traces that began then or before. */
  readonly untilMs?: number | undefined;
  /** The oldest so many of these. */
  readonly atMost?: number | undefined;
}

/** What is done to traces after they were written. */
@Injectable()
export class TraceService {
  constructor(
    private readonly database: DataSource,
    private readonly experiments: ExperimentService,
  ) {}

  /** @throws DomainError NOT_FOUND, VALIDATION_FAILED. */
  async setTag(caller: Caller, traceId: string, key: string, value: string): Promise<void> {
    assertTag(key, value);
    const [, changed]: [unknown, number] = await this.database.query(
      `UPDATE trace SET tags = tags || $3::jsonb WHERE workspace_id = $1 AND trace_id = $2
          AND (tags ? $4 OR (SELECT count(*) FROM jsonb_object_keys(tags)) < $5)`,
      [caller.workspaceId, traceId, JSON.stringify({ [key]: value }), key, MAX_PAIRS],
    );
    if (changed > 0) return;
    await this.serialsOf(this.database.manager, caller, [traceId]);
    refuse('/tags', `must have at most ${MAX_PAIRS} entries`);
  }

  /** @throws DomainError NOT_FOUND (the trace; or the tag, with details `{ key }`). */
  async deleteTag(caller: Caller, traceId: string, key: string): Promise<void> {
    const [, changed]: [unknown, number] = await this.database.query(
      `UPDATE trace SET tags = tags - $3::text WHERE workspace_id = $1 AND trace_id = $2 AND tags ? $3::text`,
      [caller.workspaceId, traceId, key],
    );
    if (changed > 0) return;
    await this.serialsOf(this.database.manager, caller, [traceId]);
    throw new DomainError('NOT_FOUND', `Trace "${traceId}" has no tag "${key.slice(0, 250)}".`, { key });
  }

  /**
   * Removes traces with their spans and assessments for good, oldest first.
   * @returns how many there were.
   * @throws DomainError NOT_FOUND (the experiment), VALIDATION_FAILED.
   */
  async delete(caller: Caller, experimentNumber: number, selection: TraceSelection): Promise<number> {
    const experiment = await this.experiments.get(caller, { number: experimentNumber });
    if (selection.traceIds === undefined && selection.untilMs === undefined)
      throw new DomainError('VALIDATION_FAILED', 'Say which traces to delete: by their ids, or until when.');
    let deleted = 0;
    for (;;) {
      const left = Math.min(DELETE_BATCH, (selection.atMost ?? Infinity) - deleted);
      const count = left <= 0 ? 0 : await this.deleteBatch(experiment.serial, selection, left);
      deleted += count;
      if (count < DELETE_BATCH) return deleted;
    }
  }

  private deleteBatch(experiment: number, selection: TraceSelection, limit: number): Promise<number> {
    return this.database.transaction(async (tx) => {
      const rows: LinkedTrace[] = await tx.query(
        // Locked in order of id, as by who adds spans.
        `SELECT serial, id, workspace_id AS "workspaceId", trace_id AS "traceId" FROM trace WHERE serial IN (
           SELECT serial FROM trace WHERE experiment = $1
              AND ($2::text[] IS NULL OR trace_id = ANY($2)) AND ($3::bigint IS NULL OR time_ms <= $3)
            ORDER BY time_ms, serial LIMIT $4)
          ORDER BY trace_id FOR UPDATE`,
        [experiment, selection.traceIds ?? null, selection.untilMs ?? null, limit],
      );
      if (rows.length === 0) return 0;
      const serials = rows.map((row) => row.serial);
      await unlinkFromRuns(tx, rows);
      for (const table of ['span', 'assessment', 'trace_prompt'])
        await tx.query(`DELETE FROM ${table} WHERE trace = ANY($1)`, [serials]);
      for (const table of ['artifact', 'artifact_upload'])
        await tx.query(`DELETE FROM ${table} WHERE trace_id = ANY($1)`, [rows.map((row) => row.id)]);
      await tx.query(`DELETE FROM trace WHERE serial = ANY($1)`, [serials]);
      return rows.length;
    });
  }

  /** Links that are there stay. A trace that has not arrived yet is linked when it does. @throws DomainError NOT_FOUND (the run). */
  async linkToRun(caller: Caller, traceIds: readonly string[], runId: string): Promise<void> {
    if (traceIds.length > MAX_LINKS)
      throw new DomainError(
        'VALIDATION_FAILED',
        `Cannot link more than ${MAX_LINKS} traces to a run in a single request. Provided ${traceIds.length} traces.`,
      );
    const [run]: { serial: number }[] = await this.database.query(
      `SELECT serial FROM run WHERE workspace_id = $1 AND id = $2`,
      [caller.workspaceId, parseRunId(runId) ?? null],
    );
    if (run === undefined) throw new DomainError('NOT_FOUND', `There is no run "${runId.slice(0, 64)}".`);
    for (const traceId of traceIds) assertTraceId(traceId);
    await this.database.query(
      `INSERT INTO trace_run (run, trace_id)
       SELECT DISTINCT $1::integer, trace_id FROM unnest($2::text[]) AS given (trace_id) ORDER BY trace_id
       ON CONFLICT DO NOTHING`,
      [run.serial, traceIds],
    );
  }

  /** Links that are there stay; the prompts need not be registered here. @throws DomainError NOT_FOUND (the trace). */
  async linkPrompts(
    caller: Caller,
    traceId: string,
    prompts: readonly { readonly name: string; readonly number: number }[],
  ): Promise<void> {
    if (prompts.length > MAX_LINKS)
      throw new DomainError('VALIDATION_FAILED', `Link at most ${MAX_LINKS} prompts to a trace at a time.`);
    for (const { name } of prompts)
      if (name.length > MAX_NAME || !isText(name))
        refuse('/prompts', `names a prompt with more than ${MAX_NAME} characters, or with a NUL`);
    const [serial] = await this.serialsOf(this.database.manager, caller, [traceId]);
    await this.database.query(
      `INSERT INTO trace_prompt (trace, name, number)
       SELECT $1, name, number FROM unnest($2::text[], $3::integer[]) AS given (name, number) ORDER BY name, number
       ON CONFLICT DO NOTHING`,
      [serial, prompts.map((prompt) => prompt.name), prompts.map((prompt) => prompt.number)],
    );
  }

  private async serialsOf(
    manager: EntityManager,
    caller: Caller,
    traceIds: readonly string[],
  ): Promise<number[]> {
    const rows: { serial: number }[] = await manager.query(
      `SELECT serial FROM trace WHERE workspace_id = $1 AND trace_id = ANY($2)`,
      [caller.workspaceId, traceIds],
    );
    if (rows.length === 0) throw noSuchTrace(traceIds[0]!);
    return rows.map((row) => row.serial);
  }
}
