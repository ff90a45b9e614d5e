import { flag, integer, list, text } from '../protocol/fields.js';
import type { MlflowRoutes } from '../protocol/mlflow-routes.js';
import type { ModelVersions } from './model-versions.js';
import { tags } from './registered-model-routes.js';
import { versionMessage } from './registry-message.js';
import type { RegistrySearch } from './registry-search.js';

const name = text({ required: true });
const version = text({ required: true });

export function addModelVersionRoutes(
  routes: MlflowRoutes,
  versions: ModelVersions,
  search: RegistrySearch,
): void {
  routes.add({
    method: 'POST',
    path: '/model-versions/create',
    version: 2,
    fields: {
      name,
      source: text({ required: true }),
      run_id: text(),
      tags,
      run_link: text(),
      description: text(),
      model_id: text(),
    },
    handle: async (caller, { run_id: runId, run_link: runLink, model_id: modelId, ...given }) => ({
      model_version: versionMessage(await versions.create(caller, { ...given, runId, runLink, modelId })),
    }),
  });
  routes.add({
    method: 'GET',
    path: '/model-versions/get',
    version: 2,
    fields: { name, version },
    handle: async (caller, given) => ({
      model_version: versionMessage(await versions.get(caller, given.name, given.version)),
    }),
  });
  routes.add({
    method: 'PATCH',
    path: '/model-versions/update',
    version: 2,
    fields: { name, version, description: text() },
    handle: async (caller, given) => ({
      model_version: versionMessage(
        await versions.update(caller, given.name, given.version, given.description),
      ),
    }),
  });
  routes.add({
    method: 'POST',
    path: '/model-versions/transition-stage',
    version: 2,
    fields: {
      name,
      version,
      stage: text({ required: true }),
      archive_existing_versions: flag({ default: false }),
    },
    handle: async (caller, { stage, archive_existing_versions: archiveOthers, ...given }) => ({
      model_version: versionMessage(
        await versions.transition(caller, given.name, given.version, { stage, archiveOthers }),
      ),
    }),
  });
  routes.add({
    method: 'DELETE',
    path: '/model-versions/delete',
    version: 2,
    fields: { name, version },
    handle: (caller, given) => versions.delete(caller, given.name, given.version),
  });
  routes.add({
    method: 'GET',
    path: '/model-versions/search',
    version: 2,
    fields: {
      filter: text({ default: '' }),
      max_results: integer({ default: 200_000, min: 1, max: 200_000 }),
      order_by: list(text()),
      page_token: text(),
    },
    handle: async (caller, given) => {
      const { items, nextToken } = await search.versions(caller, given);
      return { model_versions: items.map(versionMessage), next_page_token: nextToken };
    },
  });
  routes.add({
    method: 'GET',
    path: '/model-versions/get-download-uri',
    version: 2,
    fields: { name, version },
    handle: async (caller, given) => ({
      artifact_uri: await versions.getDownloadUri(caller, given.name, given.version),
    }),
  });
  routes.add({
    method: 'POST',
    path: '/model-versions/set-tag',
    version: 2,
    fields: { name, version, key: text({ required: true }), value: text({ default: '' }) },
    handle: (caller, given) => versions.setTag(caller, given.name, given.version, given),
  });
  routes.add({
    method: 'DELETE',
    path: '/model-versions/delete-tag',
    version: 2,
    fields: { name, version, key: text({ required: true }) },
    handle: (caller, given) => versions.deleteTag(caller, given.name, given.version, given.key),
  });
}
