import { GatewayError } from '../http/gateway-error.js';

/** 404 with the code that OpenAI's clients know, for a name that no serving endpoint with a split has. */
export function unknownEndpoint(name: string, param?: string): GatewayError {
  return new GatewayError(
    404,
    'not_found_error',
    'model_not_found',
    `There is no serving endpoint "${name.slice(0, 200)}" with a traffic split; GET /v1/models lists those there are.`,
    param,
  );
}
