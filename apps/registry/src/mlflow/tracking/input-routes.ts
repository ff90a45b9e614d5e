import { Injectable } from '@nestjs/common';
import { DATASET_LIMITS, type DatasetInput } from '../../datasets/dataset.rules.js';
import { RunInputs, type RunInputsGiven } from '../../datasets/run-inputs.service.js';
import type { Caller } from '../../http/caller.js';
import { list, long, message, text, type RequestOf } from '../protocol/fields.js';
import { MlflowError } from '../protocol/mlflow-error.js';
import type { MlflowRoutes } from '../protocol/mlflow-routes.js';
import { assertRunIdForm, loggedModelIdOf, rethrowMissingModel } from './log-routes.js';
import { assertLength } from './log-rules.js';
import { aboutRun, experimentRefOf, runIdOf } from './tracking-refusals.js';

const DATASET_FIELDS = {
  name: text({ required: true }),
  digest: text({ required: true }),
  source_type: text({ default: '' }),
  source: text({ default: '' }),
  schema: text(),
  profile: text(),
};
const DATASET_INPUT_FIELDS = {
  dataset: message(DATASET_FIELDS, { required: true }),
  tags: list(message({ key: text({ required: true }), value: text({ default: '' }) })),
};
const RUN = { run_id: text({ required: true }) };
const MAX_EXPERIMENTS = 20;
/** A dataset's profile may have 16 MB. */
const MAX_BODY_BYTES = 64 * 1024 * 1024;

/** What went into runs and came out of them: `/runs/log-inputs`, `/runs/outputs`, `/experiments/search-datasets`. */
@Injectable()
export class InputRoutes {
  constructor(private readonly inputs: RunInputs) {}

  register(routes: MlflowRoutes): void {
    routes.add({
      method: 'POST',
      path: '/runs/log-inputs',
      version: 2,
      maxBodyBytes: MAX_BODY_BYTES,
      fields: {
        ...RUN,
        datasets: list(message(DATASET_INPUT_FIELDS)),
        models: list(message({ model_id: text({ required: true }) })),
      },
      handle: (caller, { run_id, datasets, models }) => {
        assertRunIdForm(run_id);
        return this.log(caller, run_id, {
          datasets: datasets.map(datasetInput),
          modelInputs: models.map(({ model_id }) => ({ loggedModelId: loggedModelIdOf(model_id) })),
        });
      },
    });
    routes.add({
      method: 'POST',
      path: '/runs/outputs',
      version: 2,
      fields: {
        ...RUN,
        models: list(message({ model_id: text({ required: true }), step: long({ default: 0 }) }), {
          required: true,
        }),
      },
      handle: (caller, { run_id, models }) =>
        this.log(caller, run_id, {
          modelOutputs: models.map(({ model_id, step }) => ({
            loggedModelId: loggedModelIdOf(model_id),
            step,
          })),
        }),
    });
    routes.add({
      method: 'POST',
      path: '/experiments/search-datasets',
      version: 2,
      fields: { experiment_ids: list(text()) },
      handle: (caller, { experiment_ids }) => this.search(caller, experiment_ids),
    });
  }

  private async log(caller: Caller, runId: string, given: RunInputsGiven): Promise<void> {
    await aboutRun(runId, this.inputs.log(caller, runIdOf(runId), given).catch(rethrowMissingModel));
  }

  private async search(caller: Caller, ids: readonly string[]): Promise<object> {
    if (ids.length === 0)
      throw new MlflowError(
        'INVALID_PARAMETER_VALUE',
        'SearchDatasets request must specify at least one experiment_id.',
      );
    if (ids.length > MAX_EXPERIMENTS)
      throw new MlflowError(
        'INVALID_PARAMETER_VALUE',
        `SearchDatasets request cannot specify more than ${MAX_EXPERIMENTS} experiment_ids. Received ${ids.length} experiment_ids.`,
      );
    const numbers = ids.map((id) => experimentRefOf(id).number).filter(isPossibleNumber);
    const found = await this.inputs.summarize(caller, numbers);
    return {
      dataset_summaries: found.map(({ experimentNumber, name, digest, context }) => ({
        experiment_id: String(experimentNumber),
        name,
        digest,
        context,
      })),
    };
  }
}

/** Beyond int4 there is no experiment. */
export function isPossibleNumber(number: number): boolean {
  return number >= 0 && number <= 2_147_483_647;
}

function datasetInput({ dataset, tags }: RequestOf<typeof DATASET_INPUT_FIELDS>): DatasetInput {
  const { name, digest, source, schema, profile } = dataset;
  for (const [field, value] of Object.entries({ name, digest, source, schema, profile }))
    assertLength(field, value ?? '', DATASET_LIMITS[field as keyof typeof DATASET_LIMITS]);
  for (const { key, value } of tags) {
    assertLength('key', key, DATASET_LIMITS.tagKey);
    assertLength('value', value, DATASET_LIMITS.tagValue);
  }
  return {
    dataset: {
      name,
      digest,
      sourceType: dataset.source_type,
      source,
      ...(schema === undefined ? {} : { schema }),
      ...(profile === undefined ? {} : { profile }),
    },
    tags: Object.fromEntries(tags.map(({ key, value }) => [key, value])),
  };
}
