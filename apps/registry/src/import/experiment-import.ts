import type { DataSource } from 'typeorm';
import { v7 } from 'uuid';
import type { Caller } from '../http/caller.js';
import type { ImportRecords } from './import-records.js';
import type { SourceExperiment } from './mlflow-source.js';

export interface TargetExperiment {
  readonly id: string;
  readonly serial: number;
  readonly number: number;
}

const MAX_NUMBER = 2_147_483_647;

/** Brings experiments. One of the same name that is here already takes in what the source's holds. */
export class ExperimentImport {
  constructor(
    private readonly database: DataSource,
    private readonly records: ImportRecords,
    private readonly caller: Caller,
  ) {}

  async bring(experiment: SourceExperiment): Promise<TargetExperiment> {
    const known = await this.records.find('experiment', experiment.id);
    const id = known?.targetId ?? (await this.create(experiment));
    const [target]: TargetExperiment[] = await this.database.query(
      `SELECT id, serial, number FROM experiment WHERE id = $1`,
      [id],
    );
    if (!target)
      throw new Error(`Experiment "${experiment.name}" was imported and is gone; it is not brought again.`);
    return target;
  }

  /** Its number stays what it was where that is free. */
  private async create({ id, name, createdMs, updatedMs, tags }: SourceExperiment): Promise<string> {
    const { workspaceId, actor } = this.caller;
    return this.database.transaction(async (tx) => {
      // The counter's row, locked: numbers are given one at a time.
      const [{ last }]: [{ last: number }] = await tx.query(
        `SELECT last_experiment AS last FROM workspace WHERE id = $1 FOR NO KEY UPDATE`,
        [workspaceId],
      );
      const wanted = /^\d{1,10}$/.test(id) && Number(id) <= MAX_NUMBER ? Number(id) : 0;
      const same: { id: string; name: string; number: number }[] = await tx.query(
        `SELECT id, name, number FROM experiment WHERE workspace_id = $1 AND (name = $2 OR number = $3)`,
        [workspaceId, name, wanted],
      );
      const namesake = same.find((one) => one.name === name);
      if (namesake) {
        await tx.query(`UPDATE experiment SET tags = $2::jsonb || tags WHERE id = $1`, [
          namesake.id,
          JSON.stringify(tags),
        ]);
        await this.records.add(tx, 'experiment', id, namesake.id);
        return namesake.id;
      }
      const number = wanted > 0 && !same.some((one) => one.number === wanted) ? wanted : last + 1;
      const created = v7();
      await tx.query(`UPDATE workspace SET last_experiment = GREATEST(last_experiment, $2) WHERE id = $1`, [
        workspaceId,
        number,
      ]);
      await tx.query(
        `INSERT INTO experiment (id, workspace_id, number, name, tags, created_at, created_by, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
        [
          created,
          workspaceId,
          number,
          name,
          JSON.stringify(tags),
          new Date(createdMs ?? Date.now()),
          actor,
          new Date(updatedMs ?? createdMs ?? Date.now()),
        ],
      );
      await this.records.add(tx, 'experiment', id, created);
      return created;
    });
  }
}
