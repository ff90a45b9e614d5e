import type { IncomingMessage } from 'node:http';
import type { Request } from 'express';

/** The routes whose body is an artifact, whatever its content-type says: a JSON file is stored, not parsed. */
const RAW_BODY_PATH = /\/artifacts\/content\/?$/i;

/** Whether the JSON parser reads the body of a request. */
export function isJsonBody(message: IncomingMessage): boolean {
  const request = message as Request;
  return (
    !(request.method === 'PUT' && RAW_BODY_PATH.test(request.path)) &&
    Boolean(request.is(['application/json', 'application/*+json']))
  );
}
