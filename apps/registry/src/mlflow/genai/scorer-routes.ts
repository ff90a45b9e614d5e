import { Injectable } from '@nestjs/common';
import { readFilter } from '../../search/search-text.js';
import { ScorerService, type OnlineConfig, type ScorerVersion } from '../../scorers/scorer.service.js';
import { double, integer, list, text } from '../protocol/fields.js';
import { Verbatim } from '../protocol/json-writer.js';
import { MlflowError } from '../protocol/mlflow-error.js';
import type { MlflowRoutes } from '../protocol/mlflow-routes.js';
import { aboutExperiment } from '../tracking/tracking-refusals.js';
import { experimentNumber, experimentNumbers } from './genai-refusals.js';

const NAMED = { experiment_id: text({ required: true }), name: text({ required: true }) };
const ONE = { ...NAMED, version: integer({ min: 1, max: 2 ** 31 - 1 }) };

/** `/scorers…`. Scorers are kept, never run. */
@Injectable()
export class ScorerRoutes {
  constructor(private readonly scorers: ScorerService) {}

  register(routes: MlflowRoutes): void {
    this.registerWriting(routes);
    this.registerReading(routes);
    this.registerOnline(routes);
  }

  private registerWriting(routes: MlflowRoutes): void {
    routes.add({
      method: 'POST',
      path: '/scorers/register',
      version: 3,
      fields: { ...NAMED, serialized_scorer: text({ required: true }) },
      handle: async (caller, { experiment_id, name, serialized_scorer }) => {
        const number = experimentNumber(experiment_id);
        refuseCode(serialized_scorer);
        const made = await aboutExperiment(
          { number },
          this.scorers.register(caller, number, name, serialized_scorer),
        );
        return {
          version: made.number,
          scorer_id: made.scorerId,
          experiment_id: String(made.experimentNumber),
          name: made.name,
          serialized_scorer: made.definition,
          creation_time: made.createdAt.getTime(),
        };
      },
    });
    routes.add({
      method: 'DELETE',
      path: '/scorers/delete',
      version: 3,
      fields: ONE,
      handle: async (caller, { experiment_id, name, version }) => {
        await this.scorers.delete(caller, experimentNumber(experiment_id), name, version);
      },
    });
  }

  private registerReading(routes: MlflowRoutes): void {
    const { scorers } = this;
    routes.add({
      method: 'GET',
      path: '/scorers/list',
      version: 3,
      fields: { experiment_id: text(), experiment_ids: list(text({ default: '' })) },
      handle: async (caller, { experiment_id, experiment_ids }) => {
        if (experiment_id && experiment_ids.length > 0)
          throw new MlflowError(
            'INVALID_PARAMETER_VALUE',
            "Cannot specify both 'experiment_id' and 'experiment_ids'.",
          );
        const numbers = experiment_id
          ? [experimentNumber(experiment_id)]
          : experiment_ids.length > 0
            ? experimentNumbers(experiment_ids)
            : undefined;
        return { scorers: (await scorers.list(caller, numbers)).map(scorerMessage) };
      },
    });
    routes.add({
      method: 'GET',
      path: '/scorers/versions',
      version: 3,
      fields: NAMED,
      handle: async (caller, { experiment_id, name }) => ({
        scorers: (await scorers.versions(caller, experimentNumber(experiment_id), name)).map(scorerMessage),
      }),
    });
    routes.add({
      method: 'GET',
      path: '/scorers/get',
      version: 3,
      fields: ONE,
      handle: async (caller, { experiment_id, name, version }) => ({
        scorer: scorerMessage(await scorers.get(caller, experimentNumber(experiment_id), name, version)),
      }),
    });
  }

  private registerOnline(routes: MlflowRoutes): void {
    routes.add({
      method: 'PUT',
      path: '/scorers/online-config',
      version: 3,
      fields: { ...NAMED, sample_rate: double({ required: true }), filter_string: text() },
      handle: async (caller, { experiment_id, name, sample_rate, filter_string }) => {
        readFilter('trace', filter_string);
        const number = experimentNumber(experiment_id);
        const config = await this.scorers.configure(caller, number, name, sample_rate, filter_string || null);
        return { config: configMessage(config) };
      },
    });
    routes.add({
      method: 'GET',
      path: '/scorers/online-configs',
      version: 3,
      fields: { scorer_ids: list(text({ default: '' }), { required: true }) },
      handle: async (caller, { scorer_ids }) => {
        const configs = await this.scorers.configs(caller, scorer_ids);
        // Clients read the list even where it is empty.
        return { configs: new Verbatim(configs.map(configMessage)) };
      },
    });
  }
}

/**
 * Scorers made of a Python function carry its source, which every client that lists the scorers would have to execute:
 * by default clients refuse that, and cannot list any. MLflow's server refuses them too.
 */
function refuseCode(serialized: string): void {
  if (holdsCode(serialized))
    throw new MlflowError(
      'INVALID_PARAMETER_VALUE',
      'Registering scorers that are made of Python code (the @scorer decorator) is not supported. Keep them in a repository and import them, or register built-in scorers and judges.',
    );
}

function holdsCode(serialized: string): boolean {
  let found = false;
  try {
    JSON.parse(serialized, (key, value: unknown) => {
      found ||= key === 'call_source' && typeof value === 'string' && value !== '';
      return value;
    });
  } catch {
    // The service says what is wrong with it.
  }
  return found;
}

function scorerMessage(scorer: ScorerVersion): object {
  return {
    experiment_id: scorer.experimentNumber,
    scorer_name: scorer.name,
    scorer_version: scorer.number,
    serialized_scorer: scorer.definition,
    creation_time: scorer.createdAt.getTime(),
    scorer_id: scorer.scorerId,
  };
}

function configMessage(config: OnlineConfig): object {
  return {
    // One configuration for each scorer.
    online_scoring_config_id: config.scorerId,
    scorer_id: config.scorerId,
    sample_rate: config.sampleRate,
    filter_string: config.filter,
    experiment_id: String(config.experimentNumber),
  };
}
