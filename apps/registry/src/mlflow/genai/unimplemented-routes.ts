import { Injectable } from '@nestjs/common';
import { MlflowError } from '../protocol/mlflow-error.js';
import type { Method, MlflowRoutes } from '../protocol/mlflow-routes.js';

/** What MLflow 3 has and this server has not: `docs/mlflow.md` says so too. */
const PATHS: readonly (readonly [Method, string])[] = [
  ['POST', '/issues'],
  ['POST', '/issues/search'],
  ['GET', '/issues/{id}'],
  ['PATCH', '/issues/{id}'],
  ['POST', '/label-schemas/create'],
  ['GET', '/label-schemas/{call}'],
  ['PATCH', '/label-schemas/update'],
  ['DELETE', '/label-schemas/delete'],
  ['POST', '/review-queues/{call}'],
  ['GET', '/review-queues/{call}'],
  ['POST', '/review-queues/items/{call}'],
  ['GET', '/review-queues/items/list'],
  ['POST', '/prompt-optimization/jobs'],
  ['POST', '/prompt-optimization/jobs/search'],
  ['GET', '/prompt-optimization/jobs/{id}'],
  ['POST', '/prompt-optimization/jobs/{id}/cancel'],
  ['DELETE', '/prompt-optimization/jobs/{id}'],
];

/** Says clearly what is missing, so that clients do not take it for an old server. */
@Injectable()
export class UnimplementedRoutes {
  register(routes: MlflowRoutes): void {
    for (const [method, path] of PATHS)
      routes.add({
        method,
        path,
        version: 3,
        fields: {},
        handle: () => {
          throw new MlflowError(
            'NOT_IMPLEMENTED',
            `${method} /mlflow${path} is not implemented by this server; docs/mlflow.md lists what is.`,
          );
        },
      });
  }
}
