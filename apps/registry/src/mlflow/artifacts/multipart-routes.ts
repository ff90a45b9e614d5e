import { Injectable } from '@nestjs/common';
import { MultipartUploadService } from '../../artifacts/multipart-upload.service.js';
import type { Caller } from '../../http/caller.js';
import { parseLenient } from '../protocol/lenient-json.js';
import { integer, list, message, readerOf, text, type Fields, type RequestOf } from '../protocol/fields.js';
import type { Exchange, MlflowRoutes } from '../protocol/mlflow-routes.js';
import { readBody, requireJson } from '../protocol/request-body.js';
import { answerJson } from './answer-json.js';
import { decodePath, invalidPath, locate, type ArtifactLocation } from './artifact-location.js';

/** Ten thousand parts with their URLs. */
const MAX_BODY_BYTES = 32 * 1024 * 1024;

const CREATE = { path: text({ required: true }), num_parts: integer({ default: 1, min: 1, max: 10_000 }) };
const ABORT = { path: text({ required: true }), upload_id: text({ required: true }) };
const COMPLETE = {
  ...ABORT,
  parts: list(
    message({ part_number: integer({ required: true, min: 1, max: 10_000 }), etag: text({ default: '' }) }),
    { max: 10_000 },
  ),
};

/** Multipart uploads of MLflow's clients, which PUT the parts straight to the store: `/mlflow-artifacts/mpu/…`. */
@Injectable()
export class MultipartRoutes {
  constructor(private readonly uploads: MultipartUploadService) {}

  register(routes: MlflowRoutes): void {
    add(routes, 'create', CREATE, async (caller, directory, { path, num_parts }) => {
      const { owner, path: target } = fileIn(directory, path);
      const { uploadId, urls } = await this.uploads.begin(caller, owner, {
        path: target,
        partCount: num_parts,
      });
      return {
        upload_id: uploadId,
        credentials: urls.map((url, index) => ({ url, part_number: index + 1 })),
      };
    });
    add(routes, 'complete', COMPLETE, async (caller, directory, { path, upload_id, parts }) => {
      const { owner, path: target } = fileIn(directory, path);
      const given = parts.map((part) => ({ partNumber: part.part_number, etag: part.etag }));
      await this.uploads.complete(caller, owner, target, upload_id, given);
      return {};
    });
    add(routes, 'abort', ABORT, async (caller, directory, { path, upload_id }) => {
      const { owner, path: target } = fileIn(directory, path);
      await this.uploads.abort(caller, owner, target, upload_id);
      return {};
    });
  }
}

function add<F extends Fields>(
  routes: MlflowRoutes,
  operation: string,
  fields: F,
  handle: (caller: Caller, directory: string, request: RequestOf<F>) => Promise<object>,
): void {
  const read = readerOf(fields);
  for (const prefix of ['api', 'ajax-api'])
    routes.addRaw({
      method: 'POST',
      path: `/${prefix}/2.0/mlflow-artifacts/mpu/${operation}/{directory+}`,
      async handle(caller: Caller, { request, response, params }: Exchange) {
        requireJson(request);
        const given = read(parseLenient(await readBody(request, MAX_BODY_BYTES)));
        answerJson(response, await handle(caller, decodePath(params['directory']!), given));
      },
    });
}

/** @param localFile path on the client's machine; its last segment names the artifact. */
function fileIn(directory: string, localFile: string): ArtifactLocation {
  const name = localFile.slice(Math.max(localFile.lastIndexOf('/'), localFile.lastIndexOf('\\')) + 1);
  if (name === '') throw invalidPath();
  return locate(`${directory.replace(/\/+$/, '')}/${name}`);
}
