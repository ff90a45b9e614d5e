import { integer, list, message, text } from '../protocol/fields.js';
import type { MlflowRoutes } from '../protocol/mlflow-routes.js';
import type { ModelVersions } from './model-versions.js';
import type { RegisteredModels } from './registered-models.js';
import { modelMessage, versionMessage } from './registry-message.js';
import type { RegistrySearch } from './registry-search.js';

const name = text({ required: true });
export const tags = list(message({ key: text({ required: true }), value: text({ default: '' }) }));

export function addRegisteredModelRoutes(
  routes: MlflowRoutes,
  models: RegisteredModels,
  versions: ModelVersions,
  search: RegistrySearch,
): void {
  routes.add({
    method: 'POST',
    path: '/registered-models/create',
    version: 2,
    fields: { name, tags, description: text() },
    handle: async (caller, given) => ({ registered_model: modelMessage(await models.create(caller, given)) }),
  });
  routes.add({
    method: 'GET',
    path: '/registered-models/get',
    version: 2,
    fields: { name },
    handle: async (caller, given) => ({
      registered_model: modelMessage(await models.get(caller, given.name)),
    }),
  });
  routes.add({
    method: 'PATCH',
    path: '/registered-models/update',
    version: 2,
    fields: { name, description: text() },
    handle: async (caller, given) => ({
      registered_model: modelMessage(await models.update(caller, given.name, given.description)),
    }),
  });
  routes.add({
    method: 'POST',
    path: '/registered-models/rename',
    version: 2,
    fields: { name, new_name: text({ required: true }) },
    handle: async (caller, given) => ({
      registered_model: modelMessage(await models.rename(caller, given.name, given.new_name)),
    }),
  });
  routes.add({
    method: 'DELETE',
    path: '/registered-models/delete',
    version: 2,
    fields: { name },
    handle: (caller, given) => models.delete(caller, given.name),
  });
  routes.add({
    method: 'GET',
    path: '/registered-models/search',
    version: 2,
    fields: {
      filter: text({ default: '' }),
      max_results: integer({ default: 100, min: 1, max: 1000 }),
      order_by: list(text()),
      page_token: text(),
    },
    handle: async (caller, given) => {
      const { items, nextToken } = await search.models(caller, given);
      return { registered_models: items.map(modelMessage), next_page_token: nextToken };
    },
  });
  routes.add({
    method: ['POST', 'GET'],
    path: '/registered-models/get-latest-versions',
    version: 2,
    fields: { name, stages: list(text()) },
    handle: async (caller, given) => ({
      model_versions: (await versions.listLatest(caller, given.name, given.stages)).map(versionMessage),
    }),
  });
  routes.add({
    method: 'POST',
    path: '/registered-models/set-tag',
    version: 2,
    fields: { name, key: text({ required: true }), value: text({ default: '' }) },
    handle: (caller, given) => models.setTag(caller, given.name, given),
  });
  routes.add({
    method: 'DELETE',
    path: '/registered-models/delete-tag',
    version: 2,
    fields: { name, key: text({ required: true }) },
    handle: (caller, given) => models.deleteTag(caller, given.name, given.key),
  });
  routes.add({
    method: 'POST',
    path: '/registered-models/alias',
    version: 2,
    fields: { name, alias: text({ required: true }), version: text({ required: true }) },
    handle: (caller, given) => models.setAlias(caller, given.name, given.alias, given.version),
  });
  routes.add({
    method: 'DELETE',
    path: '/registered-models/alias',
    version: 2,
    fields: { name, alias: text({ required: true }) },
    handle: (caller, given) => models.deleteAlias(caller, given.name, given.alias),
  });
  routes.add({
    method: 'GET',
    path: '/registered-models/alias',
    version: 2,
    fields: { name, alias: text({ required: true }) },
    handle: async (caller, given) => ({
      model_version: versionMessage(await versions.getByAlias(caller, given.name, given.alias)),
    }),
  });
}
