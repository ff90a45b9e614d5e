import { isCleared, type DataClass } from '#libs/core/clearance/clearance.js';
import { GatewayError } from '../http/gateway-error.js';
import type { ServedEndpoint, Snapshot } from '../snapshot/snapshot.js';
import { unknownEndpoint } from '../snapshot/unknown-endpoint.js';
import { findIn } from '../snapshot/workspace-key.js';
import type { Action, Caller } from './caller.js';

/**
 * The serving endpoint that a caller names.
 * @throws GatewayError 404 for one that its workspace does not have, 403 for what its key is not for.
 */
export function endpointFor(
  caller: Caller,
  snapshot: Snapshot,
  name: string,
  action: Action,
  param?: string,
): ServedEndpoint {
  if (!caller.may(action))
    throw forbidden(
      'action_not_allowed',
      `This API key is not for "${action}"; its actions are set at the registry.`,
    );
  const endpoint = findIn(snapshot.endpoints, caller.workspaceId, name);
  if (!endpoint) throw unknownEndpoint(name, param);
  if (!caller.mayUse(name))
    throw forbidden(
      'endpoint_not_allowed',
      `This API key is not for the endpoint "${name}"; GET /v1/models lists those it is for.`,
      param,
    );
  return endpoint;
}

/** @throws GatewayError 403 for data that the caller's key may not send. */
export function assertCleared(caller: Caller, dataClass: DataClass): void {
  if (!isCleared(caller.clearance, dataClass))
    throw forbidden(
      'data_class_not_allowed',
      `This API key may send data up to the class "${caller.clearance}", and the request carries "${dataClass}".`,
    );
}

function forbidden(code: string, message: string, param?: string): GatewayError {
  return new GatewayError(403, 'permission_error', code, message, param);
}
