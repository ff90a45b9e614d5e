import { Injectable } from '@nestjs/common';
import { Verbatim } from '../protocol/json-writer.js';
import type { MlflowRoutes } from '../protocol/mlflow-routes.js';

/** The version of MLflow whose protocol this server speaks: clients decide by it what they may call. */
export const SPOKEN_VERSION = '3.17.2';

/** What clients ask of the server itself. */
@Injectable()
export class ServerRoutes {
  register(routes: MlflowRoutes): void {
    for (const [path, body] of [
      ['/health', 'OK'],
      ['/version', SPOKEN_VERSION],
    ] as const)
      routes.addRaw({
        method: 'GET',
        path,
        anyWorkspace: true,
        handle: (_, { response }) => {
          response.setHeader('content-type', 'text/plain; charset=utf-8');
          response.end(body);
        },
      });
    routes.add({
      method: 'GET',
      path: '/server-info',
      version: 3,
      anyWorkspace: true,
      fields: {},
      handle: () => new Verbatim(SERVER_INFO),
    });
  }
}

const SERVER_INFO = {
  store_type: 'SqlStore',
  workspaces_enabled: true,
  trace_archival_enabled: false,
  multipart_uploads_enabled: true,
  multipart_downloads_enabled: true,
  presigned_upload_run_id_supported: true,
  presigned_upload_model_id_supported: true,
  features_enabled: { gateway: false },
};
