import { Injectable } from '@nestjs/common';
import { LRUCache } from 'lru-cache';
import { DataSource } from 'typeorm';
import { numberArray, runPrepared, type Statement } from '#libs/platform/database/prepared.js';
import type { Caller } from '../http/caller.js';
import { readInt64, type Int64 } from '../metrics/int64.js';
import {
  eachByName,
  METRIC_COLUMNS,
  textColumns,
  type MetricColumns,
  type NonNull,
  type TextColumns,
} from './run-columns.js';
import type { Run } from '../runs/run.entity.js';
import { itemsSql, withNumbers } from './run-json.js';
import type { KeyIds } from './run-fields.js';

export interface LatestMetric {
  readonly key: string;
  readonly value: number;
  /** Milliseconds since 1970. */
  readonly timeMs: Int64;
  readonly step: Int64;
}

export interface DatasetInput {
  readonly id: string;
  readonly name: string;
  readonly digest: string;
  readonly sourceType: string;
  readonly source: string;
  readonly schema: string | null;
  readonly profile: string | null;
  readonly tags: Readonly<Record<string, string>>;
}

export interface ModelLink {
  readonly loggedModelId: string;
  readonly step: Int64;
}

/** What a run logged: latest metrics, params and tags by name; each list in the order of its names. */
export interface RunData {
  readonly metrics: readonly LatestMetric[];
  readonly params: readonly { readonly key: string; readonly value: string }[];
  readonly tags: readonly { readonly key: string; readonly value: string }[];
  readonly datasets: readonly DatasetInput[];
  readonly modelInputs: readonly ModelLink[];
  readonly modelOutputs: readonly ModelLink[];
}

/** Models and datasets of a run. */
export type RunLinks = Pick<RunData, 'datasets' | 'modelInputs' | 'modelOutputs'>;

/** What a run logged; the items of each list as JSON, see `itemsSql`. */
export interface RunJson extends RunLinks {
  readonly metrics: string;
  readonly params: string;
  readonly tags: string;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] extends readonly (infer Item)[] ? Item[] : T[K] };

/** Runs whose data one round of statements reads. */
const MAX_AT_ONCE = 5_000;

/** Names in memory, at most: about 10 MB. */
const MAX_REMEMBERED = 50_000;

const RUN_COLUMNS = `
  id, serial, workspace_id AS "workspaceId", experiment_serial AS "experimentSerial", name, status,
  started_at AS "startedAt", ended_at AS "endedAt", created_at AS "createdAt", created_by AS "createdBy",
  updated_at AS "updatedAt", deleted_at AS "deletedAt"`;

const METRIC_ITEMS = { name: 'run_metric_items', text: itemsSql('metric', 'latest_metric') };
const PARAM_ITEMS = { name: 'run_param_items', text: itemsSql('param', 'param') };
const TAG_ITEMS = { name: 'run_tag_items', text: itemsSql('tag', 'run_tag') };
const METRICS = { name: 'run_metrics', text: METRIC_COLUMNS };
const PARAMS = { name: 'run_params', text: textColumns('param') };
const TAGS = { name: 'run_tags', text: textColumns('run_tag') };
const RUNS = {
  name: 'runs_by_serial',
  text: `SELECT ${RUN_COLUMNS} FROM run WHERE serial = ANY ($1::int[])`,
};
const DATASETS = {
  name: 'run_datasets',
  text: `
    SELECT i.run, d.id, d.name, d.digest, d.source_type AS "sourceType", d.source, d.schema, d.profile, i.tags
      FROM run_dataset i JOIN dataset d ON d.id = i.dataset_id WHERE i.run = ANY ($1::int[])
     ORDER BY i.run, d.name, d.digest`,
};
const MODELS = {
  name: 'run_models',
  text: `
    SELECT run, direction, logged_model_id AS "loggedModelId", step FROM run_model WHERE run = ANY ($1::int[])
     ORDER BY run, step, logged_model_id`,
};

interface Items {
  readonly run: number;
  readonly items: string;
}

const noLinks = (): Mutable<RunLinks> => ({ datasets: [], modelInputs: [], modelOutputs: [] });

function* rounds(serials: readonly number[]): Generator<readonly number[]> {
  for (let start = 0; start < serials.length; start += MAX_AT_ONCE)
    yield serials.slice(start, start + MAX_AT_ONCE);
}

const isKnown = (each: readonly [string, number | undefined]): each is readonly [string, number] =>
  each[1] !== undefined;

/** Reads runs with all they logged, many at a time, in a fixed number of statements. */
@Injectable()
export class RunReader {
  // Rows of `tracking_key` never change: see `TrackingKeys`.
  private readonly ids = new LRUCache<string, number>({ max: MAX_REMEMBERED });
  private readonly names = new LRUCache<number, string>({ max: MAX_REMEMBERED });

  constructor(private readonly database: DataSource) {}

  /** Ids of the keys that the caller's workspace has; names it never logged are left out. */
  async keyIds(caller: Caller, names: readonly string[]): Promise<KeyIds> {
    const prefix = caller.workspaceId;
    const missing = names.filter((name) => !this.ids.has(prefix + name));
    if (missing.length > 0) {
      const rows: { name: string; id: number }[] = await this.database.query(
        `SELECT name, id FROM tracking_key WHERE workspace_id = $1 AND name = ANY ($2::text[])`,
        [caller.workspaceId, missing],
      );
      for (const { name, id } of rows) this.ids.set(prefix + name, id);
    }
    return new Map(
      names.map((name) => [name, this.ids.get(prefix + name)] as const).filter((each) => isKnown(each)),
    );
  }

  /** Runs in the order of their serials as given; serials that no run has are left out. */
  async runs(serials: readonly number[]): Promise<Run[]> {
    if (serials.length === 0) return [];
    const rows = await this.read<Run>(RUNS, serials);
    const bySerial = new Map(rows.map((row) => [row.serial, row]));
    return serials.map((serial) => bySerial.get(serial)).filter((run) => run !== undefined);
  }

  /** What each run logged, by its serial. Every serial given has an entry. */
  async load(serials: readonly number[]): Promise<ReadonlyMap<number, RunData>> {
    const data = new Map<number, Mutable<RunData>>();
    for (const serial of serials) data.set(serial, { metrics: [], params: [], tags: [], ...noLinks() });
    for (const some of rounds([...data.keys()])) await this.loadInto(data, some);
    return data;
  }

  /** The same for an answer that consists of it. */
  async json(serials: readonly number[]): Promise<ReadonlyMap<number, RunJson>> {
    const data = new Map<number, Mutable<RunJson>>();
    for (const serial of serials) data.set(serial, { metrics: '', params: '', tags: '', ...noLinks() });
    for (const some of rounds([...data.keys()])) {
      const [metrics, params, tags] = await Promise.all([
        this.read<Items>(METRIC_ITEMS, some),
        this.read<Items>(PARAM_ITEMS, some),
        this.read<Items>(TAG_ITEMS, some),
        this.linksInto(data, some),
      ]);
      for (const { run, items } of metrics) data.get(run)!.metrics = withNumbers(items);
      for (const { run, items } of params) data.get(run)!.params = items;
      for (const { run, items } of tags) data.get(run)!.tags = items;
    }
    return data;
  }

  private async loadInto(
    data: ReadonlyMap<number, Mutable<RunData>>,
    serials: readonly number[],
  ): Promise<void> {
    const [[metrics], [params], [tags]] = await Promise.all([
      this.read<MetricColumns>(METRICS, serials),
      this.read<TextColumns>(PARAMS, serials),
      this.read<TextColumns>(TAGS, serials),
      this.linksInto(data, serials),
    ]);
    const names = await this.namesOf([metrics!.key ?? [], params!.key ?? [], tags!.key ?? []]);
    eachByName(metrics!.key, names, (key, at) => {
      const { run, value, time, step } = metrics as NonNull<MetricColumns>;
      data.get(run[at]!)!.metrics.push({
        key,
        value: Number(value[at]),
        timeMs: readInt64(time[at]!),
        step: readInt64(step[at]!),
      });
    });
    for (const [columns, list] of [
      [params!, 'params'],
      [tags!, 'tags'],
    ] as const)
      eachByName(columns.key, names, (key, at) => {
        const { run, value } = columns as NonNull<TextColumns>;
        data.get(run[at]!)![list].push({ key, value: value[at]! });
      });
  }

  private async linksInto(
    data: ReadonlyMap<number, Mutable<RunLinks>>,
    serials: readonly number[],
  ): Promise<void> {
    const [datasets, models] = await Promise.all([
      this.read<{ run: number } & DatasetInput>(DATASETS, serials),
      this.read<{ run: number; direction: 'input' | 'output' } & ModelLink>(MODELS, serials),
    ]);
    for (const { run, ...dataset } of datasets) data.get(run)!.datasets.push(dataset);
    for (const { run, direction, ...link } of models)
      data.get(run)![direction === 'input' ? 'modelInputs' : 'modelOutputs'].push(link);
  }

  private read<Row>(statement: Statement, serials: readonly number[]): Promise<Row[]> {
    return runPrepared(this.database, statement, [numberArray(serials)]);
  }

  /** Rows repeat few keys: their names come apart from them. */
  private async namesOf(columns: readonly (readonly number[])[]): Promise<ReadonlyMap<number, string>> {
    const keys = new Set<number>();
    for (const column of columns) for (const key of column) keys.add(key);
    const found = new Map<number, string>();
    const missing: number[] = [];
    for (const key of keys) {
      const name = this.names.get(key);
      if (name === undefined) missing.push(key);
      else found.set(key, name);
    }
    if (missing.length === 0) return found;
    const rows: { id: number; name: string }[] = await this.database.query(
      `SELECT id, name FROM tracking_key WHERE id = ANY ($1::int[])`,
      [missing],
    );
    for (const { id, name } of rows) {
      this.names.set(id, name);
      found.set(id, name);
    }
    return found;
  }
}
