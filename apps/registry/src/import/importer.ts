import type { DataSource } from 'typeorm';
import type { ArtifactImport, ArtifactTotals } from './artifact-import.js';
import type { ExperimentImport, TargetExperiment } from './experiment-import.js';
import type { ImportRecords } from './import-records.js';
import type { LoggedModelImport } from './logged-model-import.js';
import type { MlflowSource, SourceModelUse, SourceRun, SourceVersion } from './mlflow-source.js';
import type { RegistryImport } from './registry-import.js';
import type { RunImport } from './run-import.js';

export interface Parts {
  readonly database: DataSource;
  readonly source: MlflowSource;
  readonly records: ImportRecords;
  readonly experiments: ExperimentImport;
  readonly runs: RunImport;
  readonly loggedModels: LoggedModelImport;
  readonly registry: RegistryImport;
  /** Undefined: bytes are left where they are. */
  readonly artifacts: ArtifactImport | undefined;
}

/** Runs that are brought at once: the source answers one question at a time per run. */
const PARALLEL = 4;

/**
 * Brings all that an MLflow server holds, each thing whole and once: experiments, runs, logged models, then models and
 * prompts, whose versions take their files from runs and logged models. What fails is noted, and the rest goes on.
 */
export class Importer {
  readonly problems: string[] = [];
  readonly seen: Record<string, number> = {};
  readonly artifactTotals: ArtifactTotals = { files: 0, bytes: 0 };

  constructor(
    private readonly parts: Parts,
    private readonly say: (line: string) => void,
  ) {}

  async run(): Promise<void> {
    for await (const experiment of this.parts.source.experiments()) {
      this.count('experiments');
      await this.attempt(`experiment "${experiment.name}"`, async () => {
        const target = await this.parts.experiments.bring(experiment);
        this.say(`experiment "${experiment.name}" is number ${target.number}`);
        await this.bringContents(experiment.id, target);
        if (experiment.deleted) await this.markDeleted('experiment', experiment.id, target.id);
      });
    }
    for await (const model of this.parts.source.models()) {
      this.count('registered models');
      await this.attempt(`model "${model.name}"`, async () => {
        const versions: SourceVersion[] = [];
        for await (const version of this.parts.source.versions(model)) versions.push(version);
        this.count('versions', versions.length);
        this.count('aliases', Object.keys(model.aliases).length);
        const { isNew } = await this.parts.registry.bring(model, versions);
        this.say(`model "${model.name}": ${versions.length} versions${isNew ? '' : ', brought before'}`);
      });
    }
  }

  private async bringContents(experimentId: string, target: TargetExperiment): Promise<void> {
    const uses: { runId: string; use: SourceModelUse; of: string }[] = [];
    const deleted: { sourceId: string; id: string }[] = [];
    let count = 0;
    await inParallel(this.parts.source.runs(experimentId), PARALLEL, (run) =>
      this.attempt(`run ${run.id}`, async () => {
        this.count('runs');
        const { id, isNew } = await this.parts.runs.bring(run, target);
        uses.push(...run.models.map((use) => ({ runId: id, use, of: run.id })));
        if (run.deleted) deleted.push({ sourceId: run.id, id });
        await this.bringArtifacts(run, id);
        if (++count % 100 === 0) this.say(`  ${count} runs${isNew ? '' : ', brought before'}`);
      }),
    );
    for await (const model of this.parts.source.loggedModels(experimentId)) {
      this.count('logged models');
      await this.attempt(`logged model ${model.id}`, async () => {
        const { id } = await this.parts.loggedModels.bring(model, target);
        await this.parts.artifacts?.bring(model.artifactUri, `logged-models/${id}`, this.artifactTotals);
      });
    }
    for (const { runId, use, of } of uses)
      await this.attempt(`run ${of}`, async () => {
        if (!(await this.parts.loggedModels.bringUse(runId, use)))
          throw new Error(
            `its logged model ${use.modelId} was not brought: it is deleted, or of another experiment`,
          );
      });
    for (const { sourceId, id } of deleted) await this.markDeleted('run', sourceId, id);
    this.say(`  ${count} runs, ${this.artifactTotals.files} files so far`);
  }

  private async bringArtifacts(run: SourceRun, id: string): Promise<void> {
    await this.parts.artifacts?.bring(run.artifactUri, `runs/${id}`, this.artifactTotals);
  }

  /** Once: whoever restores it here keeps it. */
  private async markDeleted(table: 'experiment' | 'run', sourceId: string, id: string): Promise<void> {
    const key = `${table} ${sourceId}`;
    if (await this.parts.records.find('deleted', key)) return;
    await this.parts.database.transaction(async (tx) => {
      await tx.query(`UPDATE ${table} SET deleted_at = now() WHERE id = $1 AND deleted_at IS NULL`, [id]);
      await this.parts.records.add(tx, 'deleted', key, id);
    });
  }

  private async attempt(what: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      const problem = `${what}: ${error instanceof Error ? error.message : String(error)}`;
      this.problems.push(problem);
      this.say(`  ! ${problem}`);
    }
  }

  private count(noun: string, by = 1): void {
    this.seen[noun] = (this.seen[noun] ?? 0) + by;
  }
}

/** Works on so many items at a time. */
async function inParallel<T>(
  items: AsyncIterable<T>,
  width: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const busy = new Set<Promise<void>>();
  for await (const item of items) {
    const one: Promise<void> = work(item).finally(() => busy.delete(one));
    busy.add(one);
    if (busy.size >= width) await Promise.race(busy);
  }
  await Promise.all(busy);
}
