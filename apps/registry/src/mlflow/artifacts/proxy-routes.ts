import { Injectable } from '@nestjs/common';
import { sendArtifact } from '../../artifacts/artifact-download.js';
import { ArtifactService } from '../../artifacts/artifact.service.js';
import type { Caller } from '../../http/caller.js';
import { isRefusal } from '../protocol/mlflow-error.js';
import type { Exchange, Method, MlflowRoutes } from '../protocol/mlflow-routes.js';
import { answerJson } from './answer-json.js';
import { decodePath, invalidPath, locate, refuseVersion } from './artifact-location.js';
import { fileMessages } from './file-messages.js';

/** Artifacts through this server, byte for byte in both directions: `/mlflow-artifacts/artifacts/…`. */
@Injectable()
export class ProxyRoutes {
  constructor(private readonly artifacts: ArtifactService) {}

  register(routes: MlflowRoutes): void {
    const add = (
      method: Method,
      path: string,
      handle: (caller: Caller, exchange: Exchange) => Promise<void>,
    ) => {
      for (const prefix of ['api', 'ajax-api'])
        routes.addRaw({ method, path: `/${prefix}/2.0/mlflow-artifacts/${path}`, handle });
    };
    add('GET', 'artifacts', (caller, exchange) => this.list(caller, exchange));
    add('GET', 'artifacts/{path+}', (caller, exchange) => this.download(caller, exchange));
    add('PUT', 'artifacts/{path+}', (caller, exchange) => this.upload(caller, exchange));
    add('DELETE', 'artifacts/{path+}', (caller, exchange) => this.delete(caller, exchange));
    add('GET', 'presigned/{path+}', (caller, exchange) => this.presign(caller, exchange));
  }

  /** Nothing where there is nothing: clients ask before they know. */
  private async list(caller: Caller, { response, query }: Exchange): Promise<void> {
    const { owner, path } = locate(listedPath(query.get('path') ?? ''));
    const entries = await this.artifacts.readDirectory(caller, owner, path).catch((error: unknown) => {
      if (isRefusal(error, 'NOT_FOUND')) return [];
      throw error;
    });
    answerJson(response, { files: fileMessages(entries) });
  }

  private async download(caller: Caller, { request, response, params }: Exchange): Promise<void> {
    const { owner, path } = fileAt(params['path']!);
    const artifact = await this.artifacts.get(caller, owner, path);
    await sendArtifact(request, response, artifact, (range) => this.artifacts.open(artifact, range));
  }

  private async upload(caller: Caller, { request, response, params }: Exchange): Promise<void> {
    const location = fileAt(params['path']!);
    refuseVersion(location);
    await this.artifacts.receive(caller, location.owner, location.path, request);
    answerJson(response, {});
  }

  private async delete(caller: Caller, { response, params }: Exchange): Promise<void> {
    const { owner, path } = locate(decodePath(params['path']!));
    // The root of an owner can go, but not everything that nobody owns.
    if (path === '' && owner.kind === 'workspace') throw invalidPath();
    await this.artifacts.delete(caller, owner, path);
    answerJson(response, {});
  }

  private async presign(caller: Caller, { response, params }: Exchange): Promise<void> {
    const { owner, path } = fileAt(params['path']!);
    const { url, sizeBytes } = await this.artifacts.presignDownload(caller, owner, path);
    answerJson(response, { url, headers: {}, file_size: sizeBytes });
  }
}

/** MLflow's clients ask for the path as the URI has it, sometimes with a slash in front. */
function listedPath(path: string): string {
  if (path.startsWith('/')) throw invalidPath();
  return path;
}

function fileAt(given: string): ReturnType<typeof locate> {
  const path = decodePath(given);
  if (path.endsWith('/')) throw invalidPath();
  const location = locate(path);
  if (location.path === '') throw invalidPath();
  return location;
}
