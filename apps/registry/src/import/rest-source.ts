import { request } from 'undici';
import { IS_PROMPT_TAG } from '../entries/registry-filter.js';
import type {
  ExperimentMessage,
  LoggedModelMessage,
  MetricMessage,
  ModelMessage,
  ModelUseMessage,
  RunMessage,
  VersionMessage,
} from './rest-messages.js';
import {
  pairsOf,
  type MlflowSource,
  type SourceExperiment,
  type SourceLoggedModel,
  type SourceModel,
  type SourceModelUse,
  type SourcePoint,
  type SourceRun,
  type SourceVersion,
} from './mlflow-source.js';

const PAGE = 500;
const HISTORY_PAGE = 10_000;
const ATTEMPTS = 5;
const IS_PROMPT = `tags.\`${IS_PROMPT_TAG}\` = 'true'`;
const STATUS = {
  LOGGED_MODEL_PENDING: 'PENDING',
  LOGGED_MODEL_READY: 'READY',
  LOGGED_MODEL_UPLOAD_FAILED: 'FAILED',
} as const;

type Fields = Readonly<Record<string, unknown>>;

/** An MLflow server, by its REST protocol. */
export class RestSource implements MlflowSource {
  readonly name: string;
  private readonly authorization: string | undefined;

  /** @param uri base URL; user and password in it are sent as basic authentication. */
  constructor(uri: string) {
    const url = new URL(uri);
    if (url.username !== '')
      this.authorization = `Basic ${Buffer.from(`${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`).toString('base64')}`;
    url.username = url.password = '';
    this.name = url.href.replace(/\/+$/, '');
  }

  async *experiments(): AsyncGenerator<SourceExperiment> {
    const ask = { view_type: 'ALL', max_results: PAGE };
    for await (const one of this.pages<ExperimentMessage>('POST', '/experiments/search', ask, 'experiments'))
      yield {
        id: one.experiment_id,
        name: one.name,
        deleted: one.lifecycle_stage === 'deleted',
        createdMs: numberOr(one.creation_time, null),
        updatedMs: numberOr(one.last_update_time, null),
        tags: pairsOf(one.tags),
      };
  }

  async *runs(experimentId: string): AsyncGenerator<SourceRun> {
    const ask = { experiment_ids: [experimentId], run_view_type: 'ALL', max_results: PAGE };
    for await (const { info, data = {}, inputs = {}, outputs = {} } of this.pages<RunMessage>(
      'POST',
      '/runs/search',
      ask,
      'runs',
    ))
      yield {
        id: info.run_id,
        name: info.run_name ?? '',
        user: info.user_id ?? '',
        status: info.status ?? 'FINISHED',
        startMs: numberOr(info.start_time, null),
        endMs: numberOr(info.end_time, null),
        deleted: info.lifecycle_stage === 'deleted',
        artifactUri: info.artifact_uri ?? '',
        params: pairsOf(data.params),
        tags: pairsOf(data.tags),
        metricKeys: (data.metrics ?? []).map((metric) => metric.key),
        datasets: (inputs.dataset_inputs ?? []).map(({ dataset, tags }) => ({
          name: dataset.name,
          digest: dataset.digest,
          sourceType: dataset.source_type ?? '',
          source: dataset.source ?? '',
          schema: dataset.schema ?? null,
          profile: dataset.profile ?? null,
          tags: pairsOf(tags),
        })),
        models: [
          ...(inputs.model_inputs ?? []).map((use) => modelUse(use, 'input')),
          ...(outputs.model_outputs ?? []).map((use) => modelUse(use, 'output')),
        ],
      };
  }

  async *points(run: SourceRun): AsyncGenerator<readonly SourcePoint[]> {
    for (const key of run.metricKeys) {
      let token: string | undefined;
      do {
        const query = { run_id: run.id, metric_key: key, max_results: HISTORY_PAGE, page_token: token };
        const answer = await this.call<{ metrics?: MetricMessage[]; next_page_token?: string }>(
          'GET',
          '/metrics/get-history',
          query,
        );
        yield (answer.metrics ?? []).map(pointOf);
        token = answer.next_page_token;
      } while (token);
    }
  }

  async *loggedModels(experimentId: string): AsyncGenerator<SourceLoggedModel> {
    const ask = { experiment_ids: [experimentId], max_results: 50 };
    for await (const { info, data = {} } of this.pages<LoggedModelMessage>(
      'POST',
      '/logged-models/search',
      ask,
      'models',
    ))
      yield {
        id: info.model_id,
        experimentId: info.experiment_id,
        name: info.name,
        status: STATUS[info.status as keyof typeof STATUS] ?? 'PENDING',
        statusMessage: info.status_message || null,
        modelType: info.model_type || null,
        runId: info.source_run_id || null,
        createdMs: Number(info.creation_timestamp_ms),
        updatedMs: Number(info.last_updated_timestamp_ms),
        artifactUri: info.artifact_uri ?? '',
        params: pairsOf(data.params),
        tags: pairsOf(info.tags),
        metrics: (data.metrics ?? []).map((metric) => ({
          ...pointOf(metric),
          runId: metric.run_id ?? '',
          datasetName: metric.dataset_name || null,
          datasetDigest: metric.dataset_digest || null,
        })),
      };
  }

  async *models(): AsyncGenerator<SourceModel> {
    // Servers leave prompts out unless they are asked for.
    for (const filter of [undefined, IS_PROMPT])
      for await (const { name } of this.pages<ModelMessage>(
        'GET',
        '/registered-models/search',
        { filter, max_results: PAGE },
        'registered_models',
      )) {
        const { registered_model: one } = await this.call<{ registered_model: ModelMessage }>(
          'GET',
          '/registered-models/get',
          { name },
        );
        yield {
          name,
          description: one.description || null,
          createdMs: Number(one.creation_timestamp),
          updatedMs: Number(one.last_updated_timestamp),
          tags: { ...pairsOf(one.tags), ...(filter && { [IS_PROMPT_TAG]: 'true' }) },
          aliases: Object.fromEntries(
            (one.aliases ?? []).map(({ alias, version }) => [alias, Number(version)]),
          ),
        };
      }
  }

  async *versions({ name, tags }: SourceModel): AsyncGenerator<SourceVersion> {
    const quote = name.includes("'") ? '"' : "'";
    const prompts = tags[IS_PROMPT_TAG] === undefined ? '' : ` AND ${IS_PROMPT}`;
    const ask = {
      filter: `name = ${quote}${name}${quote}${prompts}`,
      max_results: PAGE,
      order_by: 'version_number ASC',
    };
    for await (const one of this.pages<VersionMessage>(
      'GET',
      '/model-versions/search',
      ask,
      'model_versions',
    ))
      yield {
        number: Number(one.version),
        createdMs: Number(one.creation_timestamp),
        updatedMs: Number(one.last_updated_timestamp ?? one.creation_timestamp),
        user: one.user_id || null,
        description: one.description || null,
        stage: one.current_stage || 'None',
        source: one.source ?? '',
        runId: one.run_id || null,
        runLink: one.run_link || null,
        tags: pairsOf(one.tags),
      };
  }

  async close(): Promise<void> {}

  /** Opens a path of the server, for reading bytes. */
  async get(path: string): Promise<Awaited<ReturnType<typeof request>>> {
    return request(`${this.name}${path}`, {
      headers: this.headers(),
      headersTimeout: 120_000,
      bodyTimeout: 120_000,
    });
  }

  private headers(): Record<string, string> {
    return { accept: 'application/json', ...(this.authorization && { authorization: this.authorization }) };
  }

  private async *pages<T>(
    method: 'GET' | 'POST',
    path: string,
    ask: Fields,
    field: string,
  ): AsyncGenerator<T> {
    let token: string | undefined;
    do {
      const answer: Fields = await this.call(method, path, { ...ask, page_token: token });
      yield* (answer[field] ?? []) as T[];
      token = answer['next_page_token'] as string | undefined;
    } while (token);
  }

  /** @throws Error with what the server said; after five attempts where it is overloaded or away. */
  private async call<T>(method: 'GET' | 'POST', path: string, message: Fields): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return (await this.callOnce(method, path, message)) as T;
      } catch (error) {
        if (attempt === ATTEMPTS || error instanceof Refused) throw error;
        await new Promise((resolve) => setTimeout(resolve, 250 * 2 ** attempt));
      }
    }
  }

  private async callOnce(method: 'GET' | 'POST', path: string, message: Fields): Promise<unknown> {
    const given = Object.entries(message).filter(([, value]) => value !== undefined);
    const query =
      method === 'GET' && given.length > 0
        ? `?${new URLSearchParams(given.map(([k, v]): [string, string] => [k, String(v)]))}`
        : '';
    const response = await request(`${this.name}/api/2.0/mlflow${path}${query}`, {
      method,
      headers: { ...this.headers(), ...(method === 'POST' && { 'content-type': 'application/json' }) },
      ...(method === 'POST' && { body: JSON.stringify(Object.fromEntries(given)) }),
      headersTimeout: 120_000,
    });
    const text = await response.body.text();
    if (response.statusCode === 200) return text === '' ? {} : (JSON.parse(text) as unknown);
    const said = `${this.name} answered ${response.statusCode} to ${path}: ${text.slice(0, 300)}`;
    throw response.statusCode >= 500 || response.statusCode === 429 ? new Error(said) : new Refused(said);
  }
}

/** The server will say the same again. */
class Refused extends Error {}

function numberOr<T>(value: unknown, other: T): number | T {
  return value === undefined || value === null ? other : Number(value);
}

function modelUse(use: ModelUseMessage, direction: 'input' | 'output'): SourceModelUse {
  return { modelId: use.model_id, direction, step: Number(use.step ?? 0) };
}

function pointOf(metric: MetricMessage): SourcePoint {
  return {
    key: metric.key,
    step: Number(metric.step ?? 0),
    timeMs: Number(metric.timestamp),
    value: Number(metric.value),
  };
}
