import { Injectable } from '@nestjs/common';
import { ArtifactService } from '../../artifacts/artifact.service.js';
import type { Caller } from '../../http/caller.js';
import { RunService } from '../../runs/run.service.js';
import { integer, text } from '../protocol/fields.js';
import { MlflowError } from '../protocol/mlflow-error.js';
import type { Exchange, MlflowRoutes } from '../protocol/mlflow-routes.js';
import { runArtifactUri } from '../tracking/artifact-uri.js';
import { aboutRun, runIdOf } from '../tracking/tracking-refusals.js';
import { answerJson } from './answer-json.js';
import { invalidPath, locate, proxiedPath, refuseVersion, relativePath } from './artifact-location.js';
import { ArtifactReader } from './artifact-reader.js';
import { fileMessages } from './file-messages.js';

/** MLflow's limit of `upload-artifact`, which its UI uses. */
const MAX_UPLOAD_BYTES = 10 * 1024 * 1024;

/** Artifacts of runs by the id of the run: `/artifacts/list`, `/get-artifact`, `upload-artifact`. */
@Injectable()
export class RunArtifactRoutes {
  constructor(
    private readonly runs: RunService,
    private readonly artifacts: ArtifactService,
    private readonly reader: ArtifactReader,
  ) {}

  register(routes: MlflowRoutes): void {
    routes.add({
      method: 'GET',
      path: '/artifacts/list',
      version: 2,
      fields: { run_id: text({ required: true, orElse: 'run_uuid' }), path: text(), page_token: text() },
      handle: async (caller, { run_id, path }) => {
        const directory = relativePath(path);
        const root = await this.rootOf(caller, run_id);
        return {
          root_uri: root,
          files: fileMessages(await this.reader.list(caller, root, directory), directory),
        };
      },
    });
    for (const path of ['/get-artifact', '/ajax-api/2.0/mlflow/get-artifact'])
      routes.addRaw({
        method: 'GET',
        path,
        handle: (caller, exchange) => this.download(caller, exchange),
      });
    routes.addRaw({
      method: 'POST',
      path: '/ajax-api/2.0/mlflow/upload-artifact',
      handle: (caller, exchange) => this.upload(caller, exchange),
    });
    this.registerPresigned(routes);
  }

  private async download(caller: Caller, exchange: Exchange): Promise<void> {
    const { query } = exchange;
    const runId = query.get('run_id') || query.get('run_uuid');
    if (!runId) throw missing('run_uuid');
    const path = requiredPath(query.get('path'));
    await this.reader.send(caller, await this.rootOf(caller, runId), path, exchange);
  }

  private async upload(caller: Caller, { request, response, query }: Exchange): Promise<void> {
    const runId = query.get('run_uuid');
    if (!runId) throw missing('run_uuid');
    const path = requiredPath(query.get('path'));
    const length = Number(request.headers['content-length'] ?? Infinity);
    if (length === 0) throw missing('data');
    if (length > MAX_UPLOAD_BYTES)
      throw new MlflowError('INVALID_PARAMETER_VALUE', 'Artifact size is too large. Max size is 10MB.');
    const proxied = proxiedPath(await this.rootOf(caller, runId));
    if (proxied === undefined)
      throw new MlflowError(
        'INVALID_PARAMETER_VALUE',
        'The artifacts of this run are not kept by this server.',
      );
    const location = locate(`${proxied}/${path}`);
    refuseVersion(location);
    await this.artifacts.receive(caller, location.owner, location.path, request);
    answerJson(response, {});
  }

  /** For stores that clients reach without this server; those it serves have `/mlflow-artifacts/presigned`. */
  private registerPresigned(routes: MlflowRoutes): void {
    for (const direction of ['upload', 'download'] as const)
      routes.add({
        method: 'POST',
        path: `/artifacts/presigned-${direction}-url`,
        version: 2,
        fields: {
          run_id: text(),
          model_id: text(),
          path: text({ required: true }),
          expiration: integer(),
        },
        handle: (_caller, { run_id, model_id, path }) => {
          if (Boolean(run_id) === Boolean(model_id))
            throw new MlflowError(
              'INVALID_PARAMETER_VALUE',
              'Exactly one of run_id and model_id must be provided.',
            );
          relativePath(path);
          throw new MlflowError(
            'INVALID_PARAMETER_VALUE',
            `Presigned ${direction} is not supported for proxied artifact storage; use /mlflow-artifacts/${direction === 'upload' ? 'mpu' : 'presigned'}.`,
          );
        },
      });
  }

  private async rootOf(caller: Caller, runId: string): Promise<string> {
    const run = await aboutRun(runId, this.runs.get(caller, runIdOf(runId)));
    return runArtifactUri(run.experimentNumber, run.artifactLocation, run.id);
  }
}

function requiredPath(given: string | null): string {
  if (!given) throw missing('path');
  const path = relativePath(given);
  if (path === '') throw invalidPath();
  return path;
}

function missing(name: string): MlflowError {
  return new MlflowError('INVALID_PARAMETER_VALUE', `Request must specify ${name}.`);
}
