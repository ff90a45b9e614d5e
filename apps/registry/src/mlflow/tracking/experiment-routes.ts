import { resolve } from 'node:path';
import { Injectable } from '@nestjs/common';
import { DomainError } from '#libs/core/errors/catalogue.js';
import {
  MAX_EXPERIMENT_NAME,
  MAX_EXPERIMENT_TAG_KEY,
  MAX_EXPERIMENT_TAG_VALUE,
} from '../../experiments/experiment.rules.js';
import { ExperimentService } from '../../experiments/experiment.service.js';
import type { Caller } from '../../http/caller.js';
import { list, message, text } from '../protocol/fields.js';
import { isRefusal, MlflowError } from '../protocol/mlflow-error.js';
import type { MlflowRoutes } from '../protocol/mlflow-routes.js';
import { experimentMessage } from './experiment-message.js';
import { assertLength, assertName } from './log-rules.js';
import { aboutExperiment, aboutExperimentTag, experimentRefOf } from './tracking-refusals.js';

const PAIR = message({ key: text({ default: '' }), value: text({ default: '' }) });
const ID = { experiment_id: text({ required: true }) };

/** `/experiments/…`, but for search. */
@Injectable()
export class ExperimentRoutes {
  constructor(private readonly experiments: ExperimentService) {}

  register(routes: MlflowRoutes): void {
    const { experiments } = this;
    routes.add({
      method: 'POST',
      path: '/experiments/create',
      version: 2,
      fields: { name: text({ required: true }), artifact_location: text(), tags: list(PAIR) },
      handle: (caller, { name, artifact_location, tags }) =>
        this.create(caller, name, artifact_location, tags),
    });
    routes.add({
      method: 'GET',
      path: '/experiments/get',
      version: 2,
      fields: ID,
      handle: async (caller, { experiment_id }) => {
        const ref = experimentRefOf(experiment_id);
        const found = await aboutExperiment(ref, experiments.get(caller, ref));
        return { experiment: experimentMessage(found, caller.workspace) };
      },
    });
    routes.add({
      method: 'GET',
      path: '/experiments/get-by-name',
      version: 2,
      fields: { experiment_name: text({ required: true }) },
      handle: async (caller, { experiment_name }) => {
        const found = await experiments.findByName(caller, experiment_name);
        if (found === null)
          throw new MlflowError(
            'RESOURCE_DOES_NOT_EXIST',
            `Could not find experiment with name '${experiment_name}'`,
          );
        return { experiment: experimentMessage(found, caller.workspace) };
      },
    });
    routes.add({
      method: 'POST',
      path: '/experiments/delete',
      version: 2,
      fields: ID,
      handle: async (caller, { experiment_id }) => {
        const ref = experimentRefOf(experiment_id);
        await aboutExperiment(ref, experiments.delete(caller, ref).catch(asMissing));
      },
    });
    routes.add({
      method: 'POST',
      path: '/experiments/restore',
      version: 2,
      fields: ID,
      handle: async (caller, { experiment_id }) => {
        const ref = experimentRefOf(experiment_id);
        await aboutExperiment(ref, experiments.restore(caller, ref));
      },
    });
    routes.add({
      method: 'POST',
      path: '/experiments/update',
      version: 2,
      fields: { ...ID, new_name: text({ required: true }) },
      handle: (caller, { experiment_id, new_name }) => this.rename(caller, experiment_id, new_name),
    });
    routes.add({
      method: 'POST',
      path: '/experiments/set-experiment-tag',
      version: 2,
      fields: { ...ID, key: text({ required: true }), value: text({ default: '' }) },
      handle: async (caller, { experiment_id, key, value }) => {
        assertTag(key, value);
        const ref = experimentRefOf(experiment_id);
        await aboutExperiment(ref, experiments.setTag(caller, ref, key, value));
      },
    });
    routes.add({
      method: 'POST',
      path: '/experiments/delete-experiment-tag',
      version: 2,
      fields: { ...ID, key: text({ required: true }) },
      handle: async (caller, { experiment_id, key }) => {
        const ref = experimentRefOf(experiment_id);
        await aboutExperimentTag(ref, experiments.deleteTag(caller, ref, key));
      },
    });
  }

  private async create(
    caller: Caller,
    name: string,
    location: string | undefined,
    tags: readonly { key: string; value: string }[],
  ): Promise<object> {
    assertLength('name', name, MAX_EXPERIMENT_NAME);
    if (location?.startsWith('runs:'))
      throw new MlflowError(
        'INVALID_PARAMETER_VALUE',
        `Artifact location cannot be a runs:/ URI. Given: '${location.slice(0, 256)}'`,
      );
    if (location !== undefined && /[#;]/.test(location))
      throw new MlflowError(
        'INVALID_PARAMETER_VALUE',
        "'artifact_location' URL can't include fragments or params.",
      );
    for (const { key, value } of tags) assertTag(key, value);
    try {
      const created = await this.experiments.create(caller, {
        name,
        artifactLocation: location ? absolute(location) : null,
        tags: Object.fromEntries(tags.map(({ key, value }) => [key, value])),
      });
      return { experiment_id: String(created.number) };
    } catch (error) {
      throw asTaken(error, name);
    }
  }

  private async rename(caller: Caller, given: string, name: string): Promise<void> {
    assertLength('name', name, MAX_EXPERIMENT_NAME);
    const ref = experimentRefOf(given);
    try {
      await this.experiments.rename(caller, ref, name);
    } catch (error) {
      // MLflow says INVALID_STATE, whose status is 500; nothing broke here.
      if (isRefusal(error, 'DELETED'))
        throw new MlflowError('INVALID_STATE', 'Cannot rename a non-active experiment.', 400);
      await aboutExperiment(ref, Promise.reject(asTaken(error, name)));
    }
  }
}

function assertTag(key: string, value: string): void {
  assertName(key, 'key');
  assertLength('key', key, MAX_EXPERIMENT_TAG_KEY);
  assertLength('value', value, MAX_EXPERIMENT_TAG_VALUE);
}

function asTaken(error: unknown, name: string): unknown {
  return isRefusal(error, 'ALREADY_EXISTS')
    ? new MlflowError('RESOURCE_ALREADY_EXISTS', `Experiment(name=${name}) already exists. ${error.message}`)
    : error;
}

/** For MLflow a deleted experiment is none, where it is to be deleted. */
function asMissing(error: unknown): never {
  throw isRefusal(error, 'DELETED') ? new DomainError('NOT_FOUND', error.message) : error;
}

/** A path without a scheme is one of files, which MLflow's server reads from where it was started. */
function absolute(location: string): string {
  return /^[a-z][a-z0-9+.-]*:/i.test(location) ? location : resolve(location);
}
