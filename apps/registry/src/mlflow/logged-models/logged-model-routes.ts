import { Injectable } from '@nestjs/common';
import { LoggedModelService, type CreateLoggedModel } from '../../logged-models/logged-model.service.js';
import type { Caller } from '../../http/caller.js';
import { parseRunId } from '../../runs/run-id.js';
import { choice, flag, list, message, text } from '../protocol/fields.js';
import { MlflowError } from '../protocol/mlflow-error.js';
import type { MlflowRoutes } from '../protocol/mlflow-routes.js';
import { aboutExperiment, experimentRefOf } from '../tracking/tracking-refusals.js';
import { loggedModelMessage, STATUS_NUMBERS, statusOf } from './logged-model-message.js';
import { aboutModel, modelIdOf, readModel } from './logged-model-refusals.js';

const PAIRS = list(message({ key: text({ required: true }), value: text({ default: '' }) }));
const MODEL = { model_id: text({ required: true }) };
const ONE = '/logged-models/{model_id}';

type PairsGiven = readonly { key: string; value: string }[];

/** `/logged-models/…`, but for search and artifacts. */
@Injectable()
export class LoggedModelRoutes {
  constructor(private readonly models: LoggedModelService) {}

  register(routes: MlflowRoutes): void {
    const { models } = this;
    routes.add({
      method: 'POST',
      path: '/logged-models',
      version: 2,
      fields: {
        experiment_id: text({ required: true }),
        name: text(),
        model_type: text(),
        source_run_id: text(),
        params: PAIRS,
        tags: PAIRS,
      },
      handle: (caller, request) =>
        this.create(caller, request.experiment_id, {
          ...(request.name && { name: request.name }),
          modelType: request.model_type || null,
          // Clients also name runs of elsewhere.
          sourceRunId: parseRunId(request.source_run_id ?? '') ?? null,
          foreignRun: request.source_run_id || null,
          params: recordOf(request.params),
          tags: recordOf(request.tags),
        }),
    });
    routes.add({
      method: 'GET',
      path: ONE,
      version: 2,
      fields: { ...MODEL, allow_deleted: flag({ default: false }) },
      handle: async (caller, { model_id, allow_deleted }) => ({
        model: loggedModelMessage(await readModel(models, caller, model_id, allow_deleted)),
      }),
    });
    routes.add({
      method: 'PATCH',
      path: ONE,
      version: 2,
      fields: { ...MODEL, status: choice(STATUS_NUMBERS, { required: true }) },
      handle: async (caller, { model_id, status }) => {
        const ours = statusOf(status);
        if (ours === undefined)
          throw new MlflowError('INVALID_PARAMETER_VALUE', `Invalid model status: ${status}.`);
        const model = await aboutModel(
          model_id,
          models.update(caller, modelIdOf(model_id), { status: ours }),
        );
        return { model: loggedModelMessage(model) };
      },
    });
    routes.add({
      method: 'DELETE',
      path: ONE,
      version: 2,
      fields: MODEL,
      handle: async (caller, { model_id }) => {
        await aboutModel(model_id, models.delete(caller, modelIdOf(model_id)));
      },
    });
    routes.add({
      method: 'POST',
      path: `${ONE}/params`,
      version: 2,
      fields: { ...MODEL, params: PAIRS },
      handle: async (caller, { model_id, params }) => {
        await aboutModel(model_id, models.logParams(caller, modelIdOf(model_id), recordOf(params)));
      },
    });
    this.registerTags(routes);
  }

  private registerTags(routes: MlflowRoutes): void {
    routes.add({
      method: 'PATCH',
      path: `${ONE}/tags`,
      version: 2,
      fields: { ...MODEL, tags: PAIRS },
      handle: async (caller, { model_id, tags }) => {
        const patch = { tags: recordOf(tags) };
        await aboutModel(model_id, this.models.update(caller, modelIdOf(model_id), patch));
      },
    });
    routes.add({
      method: 'DELETE',
      path: `${ONE}/tags/{tag_key}`,
      version: 2,
      fields: { ...MODEL, tag_key: text({ required: true }) },
      handle: async (caller, { model_id, tag_key }) => {
        await aboutModel(model_id, this.models.deleteTag(caller, modelIdOf(model_id), tag_key));
      },
    });
  }

  private async create(caller: Caller, experimentId: string, given: CreateLoggedModel): Promise<object> {
    const experiment = experimentRefOf(experimentId);
    if (given.name !== undefined && /[/:.%"']/.test(given.name))
      throw new MlflowError(
        'INVALID_PARAMETER_VALUE',
        `Invalid model name ('${given.name.slice(0, 256)}') provided. Model name must be a non-empty string and cannot contain the following characters: ('/', ':', '.', '%', '"', "'")`,
      );
    const model = await aboutExperiment(experiment, this.models.create(caller, { ...given, experiment }));
    return { model: loggedModelMessage(model) };
  }
}

/** The last of a key wins. */
function recordOf(pairs: PairsGiven): Record<string, string> {
  return Object.fromEntries(pairs.map(({ key, value }) => [key, value]));
}
