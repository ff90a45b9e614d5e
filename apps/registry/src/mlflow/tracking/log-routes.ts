import { Injectable } from '@nestjs/common';
import type { Caller } from '../../http/caller.js';
import { RunLog } from '../../runs/log/run-log.service.js';
import { parseRunId } from '../../runs/run-id.js';
import type { LogInput, MetricInput } from '../../runs/log/run-log.rules.js';
import { RUN_NAME_TAG } from '../../runs/run-tags.js';
import { double, list, long, message, text, type RequestOf } from '../protocol/fields.js';
import { isRefusal, MlflowError } from '../protocol/mlflow-error.js';
import type { MlflowRoutes } from '../protocol/mlflow-routes.js';
import { assertBatch, assertMetric, checkedParam, checkedTag, pythonText } from './log-rules.js';
import { aboutRun, aboutRunTag, detailsOf, runIdOf } from './tracking-refusals.js';

const RUN = { run_id: text({ required: true, orElse: 'run_uuid' }) };
const PAIR_FIELDS = { key: text({ required: true }), value: text({ default: '' }) };
const METRIC_FIELDS = {
  key: text({ required: true }),
  value: double({ required: true }),
  timestamp: long({ required: true }),
  step: long({ default: 0 }),
  model_id: text(),
  dataset_name: text(),
  dataset_digest: text(),
};
const BATCH_FIELDS = {
  ...RUN,
  metrics: list(message(METRIC_FIELDS)),
  params: list(message(PAIR_FIELDS)),
  tags: list(message(PAIR_FIELDS)),
};

/** What runs log: `/runs/log-…`, `/runs/set-tag`, `/runs/delete-tag`. */
@Injectable()
export class LogRoutes {
  constructor(private readonly log: RunLog) {}

  register(routes: MlflowRoutes): void {
    routes.add({
      method: 'POST',
      path: '/runs/log-metric',
      version: 2,
      fields: { ...RUN, ...METRIC_FIELDS },
      handle: (caller, request) => {
        assertMetric(request);
        return this.write(caller, request.run_id, { metrics: [metricInput(request)] });
      },
    });
    routes.add({
      method: 'POST',
      path: '/runs/log-parameter',
      version: 2,
      fields: { ...RUN, ...PAIR_FIELDS },
      handle: (caller, request) => this.logParam(caller, request.run_id, checkedParam(request)),
    });
    routes.add({
      method: 'POST',
      path: '/runs/set-tag',
      version: 2,
      fields: { ...RUN, ...PAIR_FIELDS },
      handle: (caller, request) => {
        const tag = checkedTag(request);
        return this.write(caller, request.run_id, { tags: isNoName(tag) ? [] : [tag] });
      },
    });
    routes.add({
      method: 'POST',
      path: '/runs/delete-tag',
      version: 2,
      fields: { ...RUN, key: text({ required: true }) },
      handle: async (caller, { run_id, key }) =>
        aboutRunTag(run_id, this.log.deleteTag(caller, runIdOf(run_id), key)),
    });
    routes.add({
      method: 'POST',
      path: '/runs/log-batch',
      version: 2,
      fields: BATCH_FIELDS,
      handle: (caller, request) => this.logBatch(caller, request),
    });
  }

  private async write(caller: Caller, runId: string, input: LogInput): Promise<void> {
    await aboutRun(runId, this.log.log(caller, runIdOf(runId), input).catch(rethrowMissingModel));
  }

  private async logParam(
    caller: Caller,
    runId: string,
    param: { key: string; value: string },
  ): Promise<void> {
    try {
      await this.write(caller, runId, { params: [param] });
    } catch (error) {
      const [changed] = changedParams(error);
      if (changed === undefined) throw error;
      throw new MlflowError(
        'INVALID_PARAMETER_VALUE',
        `Changing param values is not allowed. Param with key='${param.key}' was already logged with value='${changed.value}' for run ID='${runId}'. Attempted logging new value '${param.value}'.`,
      );
    }
  }

  private async logBatch(caller: Caller, request: RequestOf<typeof BATCH_FIELDS>): Promise<void> {
    const { run_id, metrics } = request;
    assertRunIdForm(run_id);
    metrics.forEach((metric, index) => assertMetric(metric, `metrics[${index}]`));
    const params = request.params.map((param, index) => checkedParam(param, `params[${index}].key`));
    const tags = request.tags.map((tag, index) => checkedTag(tag, `tags[${index}].key`));
    assertBatch({ metrics, params, tags });
    try {
      await this.write(caller, run_id, {
        metrics: metrics.map(metricInput),
        params,
        // Of tags sent twice the last one counts.
        tags: [...new Map(tags.map((tag) => [tag.key, tag])).values()].filter((tag) => !isNoName(tag)),
      });
    } catch (error) {
      const changed = changedParams(error);
      if (changed.length === 0) throw error;
      const said = changed.map(
        ({ key, value, given }) =>
          `{'key': ${pythonText(key)}, 'old_value': ${pythonText(value)}, 'new_value': ${pythonText(given)}}`,
      );
      throw new MlflowError(
        'INVALID_PARAMETER_VALUE',
        `Changing param values is not allowed. Params were already logged='[${said.join(', ')}]' for run ID='${run_id}'.`,
      );
    }
  }
}

/** For MLflow an empty name leaves a run the one it has. */
function isNoName({ key, value }: { readonly key: string; readonly value: string }): boolean {
  return key === RUN_NAME_TAG && value === '';
}

function metricInput(metric: RequestOf<typeof METRIC_FIELDS>): MetricInput {
  const { key, value, step, timestamp: timeMs, model_id } = metric;
  if (model_id === undefined || model_id === '') return { key, value, step, timeMs };
  return {
    key,
    value,
    step,
    timeMs,
    loggedModelId: loggedModelIdOf(model_id),
    ...(metric.dataset_name ? { datasetName: metric.dataset_name } : {}),
    ...(metric.dataset_digest ? { datasetDigest: metric.dataset_digest } : {}),
  };
}

/** `m-<32 hex>`. @throws MlflowError RESOURCE_DOES_NOT_EXIST. */
export function loggedModelIdOf(given: string): string {
  const id = given.startsWith('m-') ? parseRunId(given.slice(2)) : undefined;
  if (id === undefined) throw noSuchLoggedModel(given);
  return id;
}

function noSuchLoggedModel(given: string): MlflowError {
  return new MlflowError(
    'RESOURCE_DOES_NOT_EXIST',
    `Logged model with ID '${given.slice(0, 256)}' not found.`,
  );
}

export function rethrowMissingModel(error: unknown): never {
  const id = isRefusal(error, 'REFERENCE_NOT_FOUND') ? detailsOf(error)['id'] : undefined;
  throw typeof id === 'string' ? noSuchLoggedModel(`m-${id.replaceAll('-', '')}`) : error;
}

function changedParams(error: unknown): { key: string; value: string; given: string }[] {
  if (!isRefusal(error, 'IMMUTABLE')) return [];
  return (detailsOf(error)['params'] ?? []) as { key: string; value: string; given: string }[];
}

/** Only batches and inputs look at the form of the id; elsewhere a strange one is just unknown. */
export function assertRunIdForm(runId: string): void {
  if (!/^[a-zA-Z0-9][\p{L}\p{N}_-]{0,255}$/u.test(runId))
    throw new MlflowError(
      'INVALID_PARAMETER_VALUE',
      `Invalid value ${JSON.stringify(runId.slice(0, 300))} for parameter 'run_id' supplied.`,
    );
}
