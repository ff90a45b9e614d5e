import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import type { Caller } from '../http/caller.js';
import { readInt64, type Int64 } from '../metrics/int64.js';
import type { Run } from '../runs/run.entity.js';
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

type Mutable<T> = { -readonly [K in keyof T]: T[K] extends readonly (infer Item)[] ? Item[] : T[K] };
type Keyed = { readonly run: number; readonly key: number };

/** Runs whose data one round of statements reads. */
const MAX_AT_ONCE = 5_000;

interface MetricColumns {
  readonly run: readonly number[] | null;
  readonly key: readonly number[] | null;
  readonly value: readonly (number | string)[] | null;
  readonly time: readonly string[] | null;
  readonly step: readonly string[] | null;
}

/** All rows as one: a row of its own for each metric costs this process five times as much. */
const METRIC_COLUMNS = `
  SELECT json_agg(run) AS run, json_agg(key) AS key, json_agg(value) AS value, json_agg(time_ms::text) AS time,
         json_agg(step::text) AS step
    FROM latest_metric WHERE run = ANY ($1::int[])`;

const RUN_COLUMNS = `
  id, serial, workspace_id AS "workspaceId", experiment_serial AS "experimentSerial", name, status,
  started_at AS "startedAt", ended_at AS "endedAt", created_at AS "createdAt", created_by AS "createdBy",
  updated_at AS "updatedAt", deleted_at AS "deletedAt"`;

/** Reads runs with all they logged, many at a time, in a fixed number of statements. */
@Injectable()
export class RunReader {
  constructor(private readonly database: DataSource) {}

  /** Ids of the keys that the caller's workspace has; names it never logged are left out. */
  async keyIds(caller: Caller, names: readonly string[]): Promise<KeyIds> {
    if (names.length === 0) return new Map();
    const rows: { name: string; id: number }[] = await this.database.query(
      `SELECT name, id FROM tracking_key WHERE workspace_id = $1 AND name = ANY ($2::text[])`,
      [caller.workspaceId, [...names]],
    );
    return new Map(rows.map(({ name, id }) => [name, id]));
  }

  /** Runs in the order of their serials as given; serials that no run has are left out. */
  async runs(serials: readonly number[]): Promise<Run[]> {
    if (serials.length === 0) return [];
    const rows: Run[] = await this.database.query(
      `SELECT ${RUN_COLUMNS} FROM run WHERE serial = ANY ($1::int[])`,
      [[...serials]],
    );
    const bySerial = new Map(rows.map((row) => [row.serial, row]));
    return serials.map((serial) => bySerial.get(serial)).filter((run) => run !== undefined);
  }

  /** What each run logged, by its serial. Every serial given has an entry. */
  async load(serials: readonly number[]): Promise<ReadonlyMap<number, RunData>> {
    const data = new Map<number, Mutable<RunData>>();
    for (const serial of serials)
      data.set(serial, {
        metrics: [],
        params: [],
        tags: [],
        datasets: [],
        modelInputs: [],
        modelOutputs: [],
      });
    const all = [...data.keys()];
    for (let start = 0; start < all.length; start += MAX_AT_ONCE)
      await this.loadInto(data, all.slice(start, start + MAX_AT_ONCE));
    return data;
  }

  private async loadInto(
    data: ReadonlyMap<number, Mutable<RunData>>,
    serials: readonly number[],
  ): Promise<void> {
    const read = <Row>(text: string): Promise<Row[]> => this.database.query(text, [[...serials]]);
    const [metrics, params, tags, datasets, models] = await Promise.all([
      read<MetricColumns>(METRIC_COLUMNS),
      read<Keyed & { value: string }>(`SELECT run, key, value FROM param WHERE run = ANY ($1::int[])`),
      read<Keyed & { value: string }>(`SELECT run, key, value FROM run_tag WHERE run = ANY ($1::int[])`),
      read<{ run: number } & DatasetInput>(
        `SELECT i.run, d.id, d.name, d.digest, d.source_type AS "sourceType", d.source, d.schema, d.profile, i.tags
           FROM run_dataset i JOIN dataset d ON d.id = i.dataset_id WHERE i.run = ANY ($1::int[])
          ORDER BY i.run, d.name, d.digest`,
      ),
      read<{ run: number; direction: 'input' | 'output' } & ModelLink>(
        `SELECT run, direction, logged_model_id AS "loggedModelId", step FROM run_model WHERE run = ANY ($1::int[])
          ORDER BY run, step, logged_model_id`,
      ),
    ]);
    const { run: metricRuns, key: metricKeys, value: values, time, step: steps } = metrics[0]!;
    const names = await this.names([
      metricKeys ?? [],
      params.map(({ key }) => key),
      tags.map(({ key }) => key),
    ]);
    for (const [index, run] of (metricRuns ?? []).entries())
      data.get(run)!.metrics.push({
        key: names.get(metricKeys![index]!)!,
        // NaN and the infinities are strings in JSON.
        value: Number(values![index]),
        timeMs: readInt64(time![index]!),
        step: readInt64(steps![index]!),
      });
    for (const { run, key, value } of params) data.get(run)!.params.push({ key: names.get(key)!, value });
    for (const { run, key, value } of tags) data.get(run)!.tags.push({ key: names.get(key)!, value });
    for (const { run, ...dataset } of datasets) data.get(run)!.datasets.push(dataset);
    for (const { run, direction, ...link } of models)
      data.get(run)![direction === 'input' ? 'modelInputs' : 'modelOutputs'].push(link);
    for (const serial of serials) {
      const { metrics: numbers, params: texts, tags: labels } = data.get(serial)!;
      for (const list of [numbers, texts, labels])
        list.sort((one, other) => (one.key < other.key ? -1 : one.key > other.key ? 1 : 0));
    }
  }

  /** Rows repeat few keys: their names come apart from them. */
  private async names(keys: readonly (readonly number[])[]): Promise<ReadonlyMap<number, string>> {
    const found: { id: number; name: string }[] = await this.database.query(
      `SELECT id, name FROM tracking_key WHERE id = ANY ($1::int[])`,
      [[...new Set(keys.flat())]],
    );
    return new Map(found.map(({ id, name }) => [id, name]));
  }
}
