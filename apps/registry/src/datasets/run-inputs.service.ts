import { Injectable } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import { v7, validate } from 'uuid';
import { DomainError } from '#libs/core/errors/catalogue.js';
import type { Caller } from '../http/caller.js';
import type { Int64 } from '../metrics/int64.js';
import { assertLoggedModels } from '../runs/log/model-metrics.js';
import { lockActiveRun, noSuchRun, type RunRecord } from '../runs/run-record.js';
import { RunService } from '../runs/run.service.js';
import { RunReader, type RunData } from '../search/run-reader.js';
import { assertDatasetInputs, type DatasetInput } from './dataset.rules.js';

export interface LoggedModelUse {
  readonly loggedModelId: string;
  /** At which it came out of the run; 0 for inputs. */
  readonly step?: Int64;
}

export interface RunInputsGiven {
  readonly datasets?: readonly DatasetInput[];
  /** Logged models that went into the run. */
  readonly modelInputs?: readonly LoggedModelUse[];
  /** Logged models that came out of it. */
  readonly modelOutputs?: readonly LoggedModelUse[];
}

/** What went into a run and what came out of it. */
export type RunInputsRecord = Pick<RunData, 'datasets' | 'modelInputs' | 'modelOutputs'>;

export interface DatasetSummary {
  readonly experimentNumber: number;
  readonly name: string;
  readonly digest: string;
  /** Value of the tag mlflow.data.context. */
  readonly context: string | null;
}

const MAX_SUMMARIES = 1_000;
const MAX_SUMMARY_EXPERIMENTS = 20;

/** Datasets and logged models that went into runs, and logged models that came out. */
@Injectable()
export class RunInputs {
  constructor(
    private readonly database: DataSource,
    private readonly runs: RunService,
    private readonly reader: RunReader,
  ) {}

  /**
   * Adds them in one transaction. What is there already stays as it is, so that the call may be repeated: a dataset is
   * known by name and digest within an experiment, and its use in a run keeps its first tags.
   * @throws DomainError NOT_FOUND, DELETED (the run); REFERENCE_NOT_FOUND (a logged model); VALIDATION_FAILED.
   */
  async log(caller: Caller, runId: string, given: RunInputsGiven): Promise<void> {
    assertDatasetInputs(given.datasets ?? []);
    if (!validate(runId)) throw noSuchRun(runId);
    await this.database.transaction(async (tx) => {
      const run = await lockActiveRun(caller, runId, tx);
      await writeDatasets(run, given.datasets ?? [], tx);
      await this.writeModels(caller, run, 'input', given.modelInputs ?? [], tx);
      await this.writeModels(caller, run, 'output', given.modelOutputs ?? [], tx);
    });
  }

  /** @throws DomainError NOT_FOUND. */
  async get(caller: Caller, runId: string): Promise<RunInputsRecord> {
    const { serial } = await this.runs.get(caller, runId);
    const { datasets, modelInputs, modelOutputs } = (await this.reader.load([serial])).get(serial)!;
    return { datasets, modelInputs, modelOutputs };
  }

  /**
   * Which datasets the runs of up to 20 experiments used, at most 1 000, in order of experiments, names and digests.
   * @throws DomainError VALIDATION_FAILED for more experiments.
   */
  async summarize(caller: Caller, experimentNumbers: readonly number[]): Promise<DatasetSummary[]> {
    if (experimentNumbers.length > MAX_SUMMARY_EXPERIMENTS)
      throw new DomainError(
        'VALIDATION_FAILED',
        `/experiments names ${experimentNumbers.length} experiments; ask for at most ${MAX_SUMMARY_EXPERIMENTS}.`,
        [{ path: '/experiments', message: `must name at most ${MAX_SUMMARY_EXPERIMENTS} experiments` }],
      );
    return this.database.query(
      `SELECT DISTINCT e.number AS "experimentNumber", d.name, d.digest, u.tags ->> 'mlflow.data.context' AS context
         FROM experiment e JOIN dataset d ON d.experiment = e.serial JOIN run_dataset u ON u.dataset_id = d.id
        WHERE e.workspace_id = $1 AND e.number = ANY ($2::integer[]) AND e.deleted_at IS NULL
        ORDER BY 1, 2, 3, 4 LIMIT $3`,
      [caller.workspaceId, experimentNumbers, MAX_SUMMARIES],
    );
  }

  private async writeModels(
    caller: Caller,
    run: RunRecord,
    direction: 'input' | 'output',
    models: readonly LoggedModelUse[],
    tx: EntityManager,
  ): Promise<void> {
    if (models.length === 0) return;
    const ids = models.map(({ loggedModelId }) => loggedModelId);
    await assertLoggedModels(caller, ids, tx);
    await tx.query(
      `INSERT INTO run_model (run, logged_model_id, direction, step)
       SELECT $1, id, $2, step FROM unnest($3::uuid[], $4::bigint[]) m (id, step) ORDER BY id, step
       ON CONFLICT DO NOTHING`,
      [run.serial, direction, ids, models.map(({ step }) => step ?? 0)],
    );
  }
}

/** Rows in the order of their keys, so that calls that name the same datasets wait for each other only one way. */
async function writeDatasets(
  run: RunRecord,
  inputs: readonly DatasetInput[],
  tx: EntityManager,
): Promise<void> {
  if (inputs.length === 0) return;
  const column = <T>(pick: (input: DatasetInput) => T): T[] => inputs.map(pick);
  const names = column(({ dataset }) => dataset.name);
  const digests = column(({ dataset }) => dataset.digest);
  await tx.query(
    `INSERT INTO dataset (id, experiment, name, digest, source_type, source, schema, profile, created_at)
     SELECT d.id, $1, d.name, d.digest, d.source_type, d.source, d.schema, d.profile, $2
       FROM unnest($3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[])
            d (id, name, digest, source_type, source, schema, profile)
      ORDER BY d.name COLLATE "C", d.digest COLLATE "C"
     ON CONFLICT DO NOTHING`,
    [
      run.experimentSerial,
      new Date(),
      column(() => v7()),
      names,
      digests,
      column(({ dataset }) => dataset.sourceType),
      column(({ dataset }) => dataset.source),
      column(({ dataset }) => dataset.schema ?? null),
      column(({ dataset }) => dataset.profile ?? null),
    ],
  );
  await tx.query(
    `INSERT INTO run_dataset (run, dataset_id, tags)
     SELECT $1, d.id, g.tags
       FROM unnest($3::text[], $4::text[], $5::jsonb[]) g (name, digest, tags)
       JOIN dataset d ON d.experiment = $2 AND d.name = g.name AND d.digest = g.digest
      ORDER BY d.id
     ON CONFLICT DO NOTHING`,
    [run.serial, run.experimentSerial, names, digests, column(({ tags }) => JSON.stringify(tags ?? {}))],
  );
}
