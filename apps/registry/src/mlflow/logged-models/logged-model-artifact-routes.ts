import { Injectable } from '@nestjs/common';
import { LoggedModelService } from '../../logged-models/logged-model.service.js';
import { ArtifactReader } from '../artifacts/artifact-reader.js';
import { invalidPath, relativePath } from '../artifacts/artifact-location.js';
import { fileMessages } from '../artifacts/file-messages.js';
import { text } from '../protocol/fields.js';
import { MlflowError } from '../protocol/mlflow-error.js';
import type { MlflowRoutes } from '../protocol/mlflow-routes.js';
import { modelArtifactUri } from './logged-model-message.js';
import { readModel } from './logged-model-refusals.js';

/** `/logged-models/{model_id}/artifacts/…`. */
@Injectable()
export class LoggedModelArtifactRoutes {
  constructor(
    private readonly models: LoggedModelService,
    private readonly reader: ArtifactReader,
  ) {}

  register(routes: MlflowRoutes): void {
    routes.add({
      method: 'GET',
      path: '/logged-models/{model_id}/artifacts/directories',
      version: 2,
      fields: {
        model_id: text({ required: true }),
        artifact_directory_path: text(),
        page_token: text(),
      },
      handle: async (caller, { model_id, artifact_directory_path }) => {
        const directory = relativePath(artifact_directory_path);
        const root = modelArtifactUri(await readModel(this.models, caller, model_id));
        return {
          root_uri: root,
          files: fileMessages(await this.reader.list(caller, root, directory), directory),
        };
      },
    });
    routes.addRaw({
      method: 'GET',
      path: '/ajax-api/2.0/mlflow/logged-models/{model_id}/artifacts/files',
      handle: async (caller, exchange) => {
        const given = exchange.query.get('artifact_file_path');
        if (!given)
          throw new MlflowError(
            'BAD_REQUEST',
            'Request must include the "artifact_file_path" query parameter.',
          );
        const path = relativePath(given);
        if (path === '') throw invalidPath();
        const model = await readModel(this.models, caller, exchange.params['model_id']!);
        await this.reader.send(caller, modelArtifactUri(model), path, exchange);
      },
    });
  }
}
