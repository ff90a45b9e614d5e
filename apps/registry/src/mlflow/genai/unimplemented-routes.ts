import { Injectable } from '@nestjs/common';
import { MlflowError } from '../protocol/mlflow-error.js';
import type { Method, MlflowRoutes } from '../protocol/mlflow-routes.js';

const ANY = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'] as const;

const NO_JOBS =
  'this server runs no language models, and a job that nobody runs is not accepted; run it where the client runs, for instance with mlflow.genai.evaluate or mlflow.genai.optimize_prompts';
const NO_GATEWAY = 'model endpoints are managed natively, at /api/v1/model-endpoints';
const NO_WORKSPACES = 'workspaces are selected by this protocol, not managed';

/** What MLflow 3 has and this server has not, and why; `docs/mlflow.md` says so too. `{rest+}` is whatever follows. */
const MISSING: readonly (readonly [readonly Method[], string, why: string])[] = [
  [['POST'], '/prompt-optimization/jobs', NO_JOBS],
  [['GET', 'POST'], '/prompt-optimization/jobs/search', NO_JOBS],
  [['GET', 'DELETE'], '/prompt-optimization/jobs/{id}', NO_JOBS],
  [['POST'], '/prompt-optimization/jobs/{id}/cancel', NO_JOBS],
  [['POST'], '/scorer/invoke', NO_JOBS],
  [['POST'], '/issues/invoke', NO_JOBS],
  [['POST'], '/genai/evaluate/invoke', NO_JOBS],
  [ANY, '/gateway/{rest+}', NO_GATEWAY],
  [ANY, '/workspaces', NO_WORKSPACES],
  [ANY, '/workspaces/{rest+}', NO_WORKSPACES],
  [ANY, '/mcp-servers', 'it keeps no registry of MCP servers'],
  [ANY, '/mcp-servers/{rest+}', 'it keeps no registry of MCP servers'],
];

/** Says clearly what is missing, so that clients do not take it for an old server. */
@Injectable()
export class UnimplementedRoutes {
  register(routes: MlflowRoutes): void {
    for (const [method, path, why] of MISSING)
      routes.add({
        method,
        path,
        version: 3,
        fields: {},
        handle: (_caller, _request, { request }) => {
          throw new MlflowError(
            'NOT_IMPLEMENTED',
            `${request.method} ${request.path} is not implemented: ${why}.`,
          );
        },
      });
  }
}
