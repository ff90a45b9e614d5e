import { Injectable } from '@nestjs/common';
import { sendArtifact } from '../../artifacts/artifact-download.js';
import { ArtifactService } from '../../artifacts/artifact.service.js';
import { parseVersionNumber } from '../../entries/versions/version-number.js';
import type { Caller } from '../../http/caller.js';
import { MlflowError } from '../protocol/mlflow-error.js';
import type { Exchange, MlflowRoutes } from '../protocol/mlflow-routes.js';
import { invalidPath, relativePath } from './artifact-location.js';

/** `/model-versions/get-artifact`: a file of a version of a registered model. */
@Injectable()
export class VersionArtifactRoutes {
  constructor(private readonly artifacts: ArtifactService) {}

  register(routes: MlflowRoutes): void {
    for (const path of ['/model-versions/get-artifact', '/ajax-api/2.0/mlflow/model-versions/get-artifact'])
      routes.addRaw({ method: 'GET', path, handle: (caller, exchange) => this.download(caller, exchange) });
  }

  private async download(caller: Caller, { request, response, query }: Exchange): Promise<void> {
    const given = (name: string): string => {
      const value = query.get(name);
      if (!value) throw new MlflowError('INVALID_PARAMETER_VALUE', `Request must specify ${name}.`);
      return value;
    };
    const path = relativePath(given('path'));
    if (path === '') throw invalidPath();
    const owner = {
      kind: 'model',
      name: given('name'),
      number: parseVersionNumber(given('version')),
    } as const;
    const artifact = await this.artifacts.get(caller, owner, path);
    await sendArtifact(request, response, artifact, (range) => this.artifacts.open(artifact, range));
  }
}
