import { Injectable } from '@nestjs/common';
import { DatasetRecords } from '../../evaluation-datasets/dataset-records.js';
import type { DatasetRecord, EvaluationDataset } from '../../evaluation-datasets/evaluation-dataset.js';
import { EvaluationDatasetService } from '../../evaluation-datasets/evaluation-dataset.service.js';
import { runHex as hexOf, parseRunId as uuidOf } from '../../runs/run-id.js';
import { readFilter, readOrderBy } from '../../search/search-text.js';
import { integer, list, text } from '../protocol/fields.js';
import { isRefusal, MlflowError } from '../protocol/mlflow-error.js';
import type { MlflowRoutes } from '../protocol/mlflow-routes.js';
import { experimentNumber, experimentNumbers } from './genai-refusals.js';

const ID = { dataset_id: text({ required: true }) };
const EXPERIMENTS = list(text({ default: '' }));
const MAX_PAGE = 1_000;
const USER_TAG = 'mlflow.user';

/** `/datasets…`: evaluation datasets. (Datasets that runs log are elsewhere, and only called alike.) */
@Injectable()
export class DatasetRoutes {
  constructor(
    private readonly datasets: EvaluationDatasetService,
    private readonly records: DatasetRecords,
  ) {}

  register(routes: MlflowRoutes): void {
    this.registerDatasets(routes);
    this.registerRecords(routes);
    this.registerExperiments(routes);
  }

  private registerDatasets(routes: MlflowRoutes): void {
    const { datasets } = this;
    routes.add({
      method: 'POST',
      path: '/datasets/create',
      version: 3,
      fields: { name: text({ required: true }), experiment_ids: EXPERIMENTS, tags: text() },
      handle: async (caller, { name, experiment_ids, tags: given }) => {
        const tags = given ? stringsOf(parseObject(given, 'tags')) : {};
        const dataset = await datasets.create(caller, {
          name,
          tags,
          experiments: experiment_ids.map(experimentNumber),
          createdBy: tags[USER_TAG] ?? null,
        });
        return { dataset: datasetMessage(dataset) };
      },
    });
    routes.add({
      method: 'GET',
      path: '/datasets/{dataset_id}',
      version: 3,
      fields: { ...ID, page_token: text() },
      handle: async (caller, { dataset_id }) => ({
        dataset: datasetMessage(await about(dataset_id, (id) => datasets.get(caller, id))),
      }),
    });
    routes.add({
      method: 'DELETE',
      path: '/datasets/{dataset_id}',
      version: 3,
      fields: ID,
      // As MLflow: what is not there is as good as deleted.
      handle: async (caller, { dataset_id }) => {
        await datasets.delete(caller, datasetId(dataset_id)).catch((error: unknown) => {
          if (!isRefusal(error, 'NOT_FOUND')) throw error;
        });
      },
    });
    routes.add({
      method: ['POST', 'GET'],
      path: '/datasets/search',
      version: 3,
      fields: {
        experiment_ids: EXPERIMENTS,
        filter_string: text(),
        max_results: integer({ default: MAX_PAGE, min: 1, max: 50_000 }),
        order_by: EXPERIMENTS,
        page_token: text(),
      },
      handle: async (caller, { experiment_ids, filter_string, max_results, order_by, page_token }) => {
        const page = await datasets.search(caller, {
          experiments: experiment_ids.length === 0 ? undefined : experimentNumbers(experiment_ids),
          filter: readFilter('evaluationDataset', filter_string) ?? undefined,
          order: readOrderBy('evaluationDataset', order_by),
          limit: Math.min(max_results, MAX_PAGE),
          cursor: page_token || undefined,
        });
        return { datasets: page.items.map(datasetMessage), next_page_token: page.nextCursor };
      },
    });
    routes.add({
      method: 'PATCH',
      path: '/datasets/{dataset_id}/tags',
      version: 3,
      fields: { ...ID, tags: text({ required: true }) },
      handle: async (caller, { dataset_id, tags }) => {
        const set = stringsOf(parseObject(tags, 'tags'));
        return {
          dataset: datasetMessage(await about(dataset_id, (id) => datasets.setTags(caller, id, set))),
        };
      },
    });
    routes.add({
      method: 'DELETE',
      path: '/datasets/{dataset_id}/tags/{key}',
      version: 3,
      fields: { ...ID, key: text({ required: true }) },
      handle: async (caller, { dataset_id, key }) => {
        await about(dataset_id, (id) => datasets.setTags(caller, id, { [key]: null }));
      },
    });
  }

  private registerRecords(routes: MlflowRoutes): void {
    const { records } = this;
    const path = '/datasets/{dataset_id}/records';
    routes.add({
      method: 'POST',
      path,
      version: 3,
      fields: { ...ID, records: text({ required: true }), updated_by: text() },
      handle: async (caller, { dataset_id, records: given }) => {
        const { inserted, updated } = await about(dataset_id, (id) =>
          records.upsert(caller, id, finiteJson(given)),
        );
        return { inserted_count: inserted, updated_count: updated };
      },
    });
    routes.add({
      method: 'GET',
      path,
      version: 3,
      fields: {
        ...ID,
        max_results: integer({ default: MAX_PAGE, min: 0, max: MAX_PAGE }),
        page_token: text(),
      },
      handle: async (caller, { dataset_id, max_results, page_token }) => {
        const page = await about(dataset_id, (id) =>
          records.list(caller, id, { limit: max_results || MAX_PAGE, cursor: page_token || undefined }),
        );
        const texts = page.items.map((record) => recordText(record, dataset_id));
        return { records: `[${texts.join(', ')}]`, next_page_token: page.nextCursor };
      },
    });
    routes.add({
      method: 'DELETE',
      path,
      version: 3,
      fields: { ...ID, dataset_record_ids: EXPERIMENTS },
      handle: async (caller, { dataset_id, dataset_record_ids }) => {
        const ids = dataset_record_ids.flatMap((id) => uuidOf(id.replace(/^dr-/, '')) ?? []);
        return { deleted_count: await about(dataset_id, (id) => records.delete(caller, id, ids)) };
      },
    });
  }

  private registerExperiments(routes: MlflowRoutes): void {
    const { datasets } = this;
    routes.add({
      method: 'GET',
      path: '/datasets/{dataset_id}/experiment-ids',
      version: 3,
      fields: ID,
      handle: async (caller, { dataset_id }) => ({
        experiment_ids: (await about(dataset_id, (id) => datasets.get(caller, id))).experiments.map(String),
      }),
    });
    routes.add({
      method: 'POST',
      path: '/datasets/{dataset_id}/add-experiments',
      version: 3,
      fields: { ...ID, experiment_ids: EXPERIMENTS },
      handle: async (caller, { dataset_id, experiment_ids }) => {
        const numbers = experiment_ids.map(experimentNumber);
        return {
          dataset: datasetMessage(
            await about(dataset_id, (id) => datasets.addExperiments(caller, id, numbers)),
          ),
        };
      },
    });
    routes.add({
      method: 'POST',
      path: '/datasets/{dataset_id}/remove-experiments',
      version: 3,
      fields: { ...ID, experiment_ids: EXPERIMENTS },
      handle: async (caller, { dataset_id, experiment_ids }) => {
        const numbers = experimentNumbers(experiment_ids);
        return {
          dataset: datasetMessage(
            await about(dataset_id, (id) => datasets.removeExperiments(caller, id, numbers)),
          ),
        };
      },
    });
  }
}

const noSuchDataset = (given: string): MlflowError =>
  new MlflowError('RESOURCE_DOES_NOT_EXIST', `Evaluation dataset with id '${given.slice(0, 128)}' not found`);

/** Says that a dataset is not there as MLflow says it. */
async function about<T>(given: string, work: (id: string) => Promise<T>): Promise<T> {
  try {
    return await work(datasetId(given));
  } catch (error) {
    if (isRefusal(error, 'NOT_FOUND') && Object.hasOwn(error.details ?? {}, 'datasetId'))
      throw noSuchDataset(given);
    throw error;
  }
}

/** `d-<32 hex>` of the protocol is the UUID of the native API. */
function datasetId(given: string): string {
  const id = uuidOf(given.replace(/^d-/, ''));
  if (id === undefined) throw noSuchDataset(given);
  return id;
}

function datasetMessage(dataset: EvaluationDataset): object {
  return {
    dataset_id: `d-${hexOf(dataset.id)}`,
    name: dataset.name,
    tags: JSON.stringify(dataset.tags),
    schema: dataset.schema && JSON.stringify(dataset.schema),
    profile: dataset.recordCount === 0 ? null : JSON.stringify({ num_records: dataset.recordCount }),
    digest: dataset.digest,
    created_time: dataset.createdAt.getTime(),
    last_update_time: dataset.updatedAt.getTime(),
    created_by: dataset.createdBy,
    last_updated_by: dataset.updatedBy,
    experiment_ids: dataset.experiments.map(String),
  };
}

/** A record as JSON text, made of the texts that are stored. */
function recordText(record: DatasetRecord, datasetId: string): string {
  const source = record.source === null ? null : (JSON.parse(record.source) as SourceMessage | null);
  const members: [string, string | null][] = [
    ['dataset_record_id', JSON.stringify(`dr-${hexOf(record.id)}`)],
    ['dataset_id', JSON.stringify(datasetId)],
    ['inputs', record.inputs],
    ['outputs', record.outputs],
    ['expectations', record.expectations],
    ['tags', record.tags ?? '{}'],
    ['source', record.source],
    ['source_id', textOrNull(source?.source_data?.trace_id ?? source?.source_data?.source_id)],
    ['source_type', textOrNull(source?.source_type)],
    ['created_time', String(record.createdAt.getTime())],
    ['last_update_time', String(record.updatedAt.getTime())],
    ['created_by', textOrNull(record.createdBy)],
    ['last_updated_by', textOrNull(record.updatedBy)],
  ];
  return `{${members.flatMap(([key, text]) => (text === null ? [] : [`"${key}": ${text}`])).join(', ')}}`;
}

interface SourceMessage {
  readonly source_type?: unknown;
  readonly source_data?: { readonly trace_id?: unknown; readonly source_id?: unknown } | null;
}

const textOrNull = (value: unknown): string | null =>
  typeof value === 'string' ? JSON.stringify(value) : null;

function parseObject(text: string, path: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    value = undefined;
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new MlflowError('INVALID_PARAMETER_VALUE', `Parameter '${path}' must be a JSON object, as text.`);
  return value as Record<string, unknown>;
}

/** As MLflow does: null leaves a tag as it is, and other values become text. */
function stringsOf(tags: Record<string, unknown>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(tags)
      .filter(([, value]) => value !== null)
      .map(([key, value]) => [key, typeof value === 'string' ? value : JSON.stringify(value)]),
  );
}

/** Python writes missing numbers of a table as a bare NaN, which JSON does not have: null says the same. */
function finiteJson(text: string): string {
  if (!/NaN|Infinity/.test(text)) return text;
  return text.replace(/"[^"\\]*(?:\\.[^"\\]*)*"|-?\b(?:NaN|Infinity)\b/gs, (token) =>
    token.startsWith('"') ? token : 'null',
  );
}
