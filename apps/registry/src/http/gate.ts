import type { NextFunction, Request, Response } from 'express';
import { ERROR_STATUS, type ErrorCode } from '#libs/core/errors/catalogue.js';
import { AllowedHosts } from '#libs/platform/access/allowed-hosts.js';
import { apiKeyDigest } from '#libs/platform/secrets/api-key.js';
import type { ErrorBody } from './error.filter.js';

/** What anybody may ask: whether the registry is there, and how it is spoken to. */
const PUBLIC = /^\/(healthz|readyz|openapi\.json|docs(\/.*)?)$/;
const MLFLOW = /^\/+(ajax-)?api\/[23]\.0\//;

/** Lets in who calls this server and not another, and knows the key where one is asked for. Stands before all else. */
export function gate(
  hosts: AllowedHosts,
  key: string | undefined,
): (request: Request, response: Response, next: NextFunction) => void {
  const wanted = key === undefined ? undefined : apiKeyDigest(key);
  return (request, response, next) => {
    const { host, origin, authorization } = request.headers;
    if (!hosts.allows(host)) refuse(request, response, 'HOST_NOT_ALLOWED', AllowedHosts.refusal(host));
    else if (!hosts.allowsOrigin(origin))
      refuse(request, response, 'HOST_NOT_ALLOWED', AllowedHosts.refusalOfOrigin(origin));
    else if (wanted === undefined || PUBLIC.test(request.path)) next();
    else {
      const given = keyIn(authorization);
      if (given !== undefined && apiKeyDigest(given) === wanted) next();
      else {
        response.setHeader('www-authenticate', 'Bearer, Basic');
        refuse(
          request,
          response,
          'UNAUTHENTICATED',
          `${given === undefined ? 'A key is asked for' : 'This is not the key'}: send CATENA_ADMIN_KEY as bearer token, or as password of any user.`,
        );
      }
    }
  };
}

/** As bearer token; or as password, which lets MLflow's clients name their user too. */
function keyIn(authorization: string | undefined): string | undefined {
  const [, scheme, value] = /^(bearer|basic) +(\S+) *$/i.exec(authorization ?? '') ?? [];
  if (scheme?.toLowerCase() !== 'basic') return value;
  const text = Buffer.from(value!, 'base64').toString('utf8');
  const colon = text.indexOf(':');
  return colon === -1 ? undefined : text.slice(colon + 1);
}

function refuse(request: Request, response: Response, code: ErrorCode, message: string): void {
  // Clients read the answer when they have sent all of the body.
  if (!request.complete) request.resume();
  const native: ErrorBody = { code, message, requestId: String(response.getHeader('x-request-id') ?? '') };
  const mlflow = {
    error_code: code === 'UNAUTHENTICATED' ? 'UNAUTHENTICATED' : 'PERMISSION_DENIED',
    message,
  };
  response.status(ERROR_STATUS[code]).json(MLFLOW.test(request.path) ? mlflow : native);
}
