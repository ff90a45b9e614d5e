import type { DataSource, EntityManager } from 'typeorm';
import { v7 } from 'uuid';
import type { RunInputs } from '../datasets/run-inputs.service.js';
import type { Caller } from '../http/caller.js';
import type { TrackingKeys } from '../metrics/tracking-keys.js';
import { parseRunId } from '../runs/run-id.js';
import type { RunLog } from '../runs/log/run-log.service.js';
import type { TargetExperiment } from './experiment-import.js';
import { Fingerprint } from './fingerprint.js';
import type { ImportRecords } from './import-records.js';
import type { MlflowSource, SourceRun } from './mlflow-source.js';

const STATUSES: ReadonlySet<string> = new Set(['RUNNING', 'SCHEDULED', 'FINISHED', 'FAILED', 'KILLED']);
const POINTS = 1_000;
const READ_POINTS = 20_000;

/** Brings runs with params, tags, every point of every metric, and the datasets that went into them. */
export class RunImport {
  constructor(
    private readonly database: DataSource,
    private readonly keys: TrackingKeys,
    private readonly log: RunLog,
    private readonly inputs: RunInputs,
    private readonly records: ImportRecords,
    private readonly source: MlflowSource,
    private readonly caller: Caller,
  ) {}

  /** @returns the id here, and whether there was anything to do. */
  async bring(run: SourceRun, experiment: TargetExperiment): Promise<{ id: string; isNew: boolean }> {
    const known = await this.records.find('run', run.id);
    if (known?.fingerprint) return { id: known.targetId, isNew: false };
    const id = known?.targetId ?? (await this.create(run, experiment));
    const print = new Fingerprint();
    print.add('runs', run.name, statusOf(run), run.startMs, run.endMs);
    await this.bringPairs(run, id, experiment.serial, print);
    await this.bringPoints(run, id, print);
    if (run.datasets.length > 0) {
      const datasets = run.datasets.map(({ tags, ...dataset }) => ({ dataset, tags }));
      await this.inputs.log(this.caller, id, { datasets });
      for (const { name, digest, tags } of run.datasets) print.add('datasets', name, digest, sorted(tags));
    }
    await this.records.finish('run', run.id, print.toString());
    return { id, isNew: true };
  }

  /** Its id stays what it was where that is free. */
  private async create(run: SourceRun, experiment: TargetExperiment): Promise<string> {
    return this.database.transaction(async (tx) => {
      const wanted = parseRunId(run.id);
      const taken: unknown[] = await tx.query('SELECT FROM run WHERE id = $1', [wanted ?? null]);
      const id = wanted === undefined || taken.length > 0 ? v7() : wanted;
      const createdAt = new Date(run.startMs ?? Date.now());
      await tx.query(
        `INSERT INTO run (id, workspace_id, experiment_serial, name, status, started_at, ended_at, created_at, created_by, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
        [
          id,
          this.caller.workspaceId,
          experiment.serial,
          run.name,
          statusOf(run),
          run.startMs === null ? null : createdAt,
          run.endMs === null ? null : new Date(run.endMs),
          createdAt,
          run.user || this.caller.actor,
          new Date(run.endMs ?? createdAt),
        ],
      );
      await this.records.add(tx, 'run', run.id, id);
      return id;
    });
  }

  private async bringPairs(
    run: SourceRun,
    id: string,
    experiment: number,
    print: Fingerprint,
  ): Promise<void> {
    const keys = await this.keys.resolve(this.caller.workspaceId, [
      ...Object.keys(run.params),
      ...Object.keys(run.tags),
    ]);
    for (const [table, pairs] of [
      ['param', run.params],
      ['run_tag', run.tags],
    ] as const) {
      await this.database.query(
        `INSERT INTO ${table} (run, key, experiment, value)
         SELECT r.serial, p.key, $2, p.value FROM run r, unnest($3::integer[], $4::text[]) AS p (key, value)
          WHERE r.id = $1 ORDER BY p.key ON CONFLICT DO NOTHING`,
        [id, experiment, Object.keys(pairs).map((key) => keys.get(key)!), Object.values(pairs)],
      );
      print.addPairs(table === 'param' ? 'params' : 'run tags', pairs);
    }
  }

  private async bringPoints(run: SourceRun, id: string, print: Fingerprint): Promise<void> {
    for await (const points of this.source.points(run))
      for (let from = 0; from < points.length; from += POINTS) {
        const part = points.slice(from, from + POINTS);
        const metrics = part.map(({ value, ...point }) => ({
          ...point,
          value: Number.isFinite(value) ? value : String(value),
        }));
        await this.log.log(this.caller, id, { metrics });
        for (const { key, step, timeMs, value } of part) print.add('metric points', key, step, timeMs, value);
      }
  }
}

/** The same of a run that is here; undefined when it is gone. */
export async function fingerprintOfRun(manager: EntityManager, id: string): Promise<string | undefined> {
  const [run]: {
    serial: number;
    name: string;
    status: string;
    startedAt: Date | null;
    endedAt: Date | null;
  }[] = await manager.query(
    `SELECT serial, name, status, started_at AS "startedAt", ended_at AS "endedAt" FROM run WHERE id = $1`,
    [id],
  );
  if (!run) return undefined;
  const print = new Fingerprint();
  print.add('runs', run.name, run.status, run.startedAt?.getTime() ?? null, run.endedAt?.getTime() ?? null);
  for (const [table, kind] of [
    ['param', 'params'],
    ['run_tag', 'run tags'],
  ] as const) {
    const rows: { name: string; value: string }[] = await manager.query(
      `SELECT k.name, t.value FROM ${table} t JOIN tracking_key k ON k.id = t.key WHERE t.run = $1`,
      [run.serial],
    );
    for (const { name, value } of rows) print.add(kind, name, value);
  }
  await addPoints(manager, run.serial, print);
  const datasets: { name: string; digest: string; tags: Record<string, string> }[] = await manager.query(
    `SELECT d.name, d.digest, u.tags FROM run_dataset u JOIN dataset d ON d.id = u.dataset_id WHERE u.run = $1`,
    [run.serial],
  );
  for (const { name, digest, tags } of datasets) print.add('datasets', name, digest, sorted(tags));
  return print.toString();
}

async function addPoints(manager: EntityManager, serial: number, print: Fingerprint): Promise<void> {
  let after: readonly unknown[] | undefined;
  for (;;) {
    const rows: { key: number; name: string; step: number; timeMs: number; value: number }[] =
      await manager.query(
        `SELECT m.key, k.name, m.step, m.time_ms AS "timeMs", m.value
         FROM metric m JOIN tracking_key k ON k.id = m.key
        WHERE m.run = $1 ${after ? 'AND (m.key, m.step, m.time_ms, m.value) > ($2, $3, $4, $5)' : ''}
        ORDER BY m.key, m.step, m.time_ms, m.value LIMIT ${READ_POINTS}`,
        [serial, ...(after ?? [])],
      );
    for (const { name, step, timeMs, value } of rows) print.add('metric points', name, step, timeMs, value);
    if (rows.length < READ_POINTS) return;
    const last = rows.at(-1)!;
    after = [last.key, last.step, last.timeMs, String(last.value)];
  }
}

function statusOf({ status }: SourceRun): string {
  return STATUSES.has(status) ? status : 'FINISHED';
}

/** Tags in one order, as text. */
export function sorted(tags: Readonly<Record<string, string>>): string {
  return JSON.stringify(Object.entries(tags).sort(([a], [b]) => (a < b ? -1 : 1)));
}
