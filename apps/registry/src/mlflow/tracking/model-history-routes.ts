import { Injectable } from '@nestjs/common';
import type { Caller } from '../../http/caller.js';
import { LOG_LIMITS } from '../../runs/log/run-log.rules.js';
import { RunLog } from '../../runs/log/run-log.service.js';
import { RunService } from '../../runs/run.service.js';
import { RunReader } from '../../search/run-reader.js';
import { text } from '../protocol/fields.js';
import { MlflowError } from '../protocol/mlflow-error.js';
import type { MlflowRoutes } from '../protocol/mlflow-routes.js';
import { aboutRun, runIdOf } from './tracking-refusals.js';

const HISTORY_TAG = 'mlflow.log-model.history';
const MANDATORY = ['artifact_path', 'flavors', 'utc_time_created', 'run_id'];

/** `/runs/log-model`: clients before MLflow 3 tell in a tag of the run which models they stored among its artifacts. */
@Injectable()
export class ModelHistoryRoutes {
  constructor(
    private readonly runs: RunService,
    private readonly reader: RunReader,
    private readonly log: RunLog,
  ) {}

  register(routes: MlflowRoutes): void {
    routes.add({
      method: 'POST',
      path: '/runs/log-model',
      version: 2,
      fields: { run_id: text({ required: true }), model_json: text({ required: true }) },
      handle: (caller, { run_id, model_json }) => aboutRun(run_id, this.add(caller, run_id, model_json)),
    });
  }

  private async add(caller: Caller, runId: string, modelJson: string): Promise<void> {
    const model = shownModel(modelJson);
    const run = await this.runs.getActive(caller, runIdOf(runId));
    const { tags } = (await this.reader.load([run.serial])).get(run.serial)!;
    const before = tags.find(({ key }) => key === HISTORY_TAG)?.value;
    await this.log.setTag(caller, run.id, HISTORY_TAG, historyOf([...parsedHistory(before), model]));
  }
}

/** As much of the newest as a tag can hold. */
function historyOf(models: unknown[]): string {
  for (let from = 0; from < models.length; from++) {
    const value = JSON.stringify(models.slice(from));
    if (value.length <= LOG_LIMITS.tagValue) return value;
  }
  return '[]';
}

function parsedHistory(value: string | undefined): unknown[] {
  if (value === undefined) return [];
  try {
    const history: unknown = JSON.parse(value);
    return Array.isArray(history) ? history : [];
  } catch {
    // Somebody set the tag to something else.
    return [];
  }
}

/** What the tag keeps of a model: no configuration of flavors, no signature. */
function shownModel(modelJson: string): object {
  const model = parsedModel(modelJson);
  const missing = MANDATORY.filter((field) => !Object.hasOwn(model, field));
  if (missing.length > 0)
    throw new MlflowError(
      'INVALID_PARAMETER_VALUE',
      `Model json is missing mandatory fields: {${missing.map((field) => `'${field}'`).join(', ')}}`,
    );
  const { run_id, utc_time_created, artifact_path, model_uuid, flavors } = model;
  return {
    run_id,
    artifact_path,
    utc_time_created,
    ...(model_uuid === undefined ? {} : { model_uuid }),
    flavors: Object.fromEntries(
      Object.entries((flavors ?? {}) as Record<string, unknown>).map(([name, flavor]) => [
        name,
        withoutConfig(flavor),
      ]),
    ),
  };
}

function withoutConfig(flavor: unknown): unknown {
  if (typeof flavor !== 'object' || flavor === null || Array.isArray(flavor)) return flavor;
  return Object.fromEntries(Object.entries(flavor).filter(([key]) => key !== 'config'));
}

function parsedModel(text: string): Record<string, unknown> {
  try {
    const model: unknown = JSON.parse(text);
    // Nested too deep it could be read, but not written.
    JSON.stringify(model);
    if (typeof model === 'object' && model !== null && !Array.isArray(model))
      return model as Record<string, unknown>;
  } catch {
    // Refused below, as what is no object is.
  }
  throw new MlflowError(
    'INVALID_PARAMETER_VALUE',
    `Malformed model info. \n ${text.slice(0, 1_000)} \n is not a valid JSON.`,
  );
}
