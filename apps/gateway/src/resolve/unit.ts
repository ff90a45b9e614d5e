import { isUtf8 } from 'node:buffer';
import type { IncomingMessage } from 'node:http';
import { unitProblem } from '#libs/core/assignment/assign.js';
import { badRequest } from '../http/gateway-error.js';

const NOT_ASCII = /[^\x20-\x7e]/;

/**
 * The header `x-catena-unit`, as received.
 * @throws GatewayError 400 for two of them: Node joins them to one value, which would be a third unit.
 */
export function unitHeaderOf(request: IncomingMessage): string | undefined {
  const value = request.headers['x-catena-unit'];
  if (typeof value !== 'string') return undefined;
  if (value.includes(', ') && request.headersDistinct['x-catena-unit']!.length > 1)
    throw badRequest(
      'ambiguous_unit',
      'The header x-catena-unit was sent more than once; send one unit.',
      'x-catena-unit',
    );
  return value;
}

/**
 * The unit of a request: header `x-catena-unit`, else `metadata.unit`, else `user`.
 * @returns undefined where none is given: the arm is drawn at random.
 * @throws GatewayError 400 for one that cannot be a unit. It is never passed over for the next: a caller that
 * sends one counts on it.
 */
export function unitOf(header: string | undefined, metadataUnit: unknown, user: unknown): string | undefined {
  if (header !== undefined) return checked(decodeHeader(header), 'x-catena-unit');
  if (metadataUnit !== undefined && metadataUnit !== null) return checked(metadataUnit, 'metadata.unit');
  if (user !== undefined && user !== null) return checked(user, 'user');
  return undefined;
}

/**
 * The unit of a resolve request: the parameter `unit` of its query, or the header.
 * @throws GatewayError 400 where both are there and differ.
 */
export function unitOfResolve(queried: string | undefined, header: string | undefined): string | undefined {
  if (header === undefined) return queried;
  const unit = checked(decodeHeader(header), 'x-catena-unit');
  if (queried !== undefined && queried !== unit)
    throw badRequest(
      'ambiguous_unit',
      'The parameter "unit" and the header x-catena-unit differ; send one of them.',
      'unit',
    );
  return unit;
}

function checked(unit: unknown, param: string): string {
  if (typeof unit !== 'string')
    throw badRequest('bad_unit', `"${param}" is not a string; send the unit as text.`, param);
  const problem = unitProblem(unit);
  if (problem !== undefined) throw badRequest('bad_unit', problem, param);
  if (!unit.isWellFormed())
    throw badRequest('bad_unit', 'The unit holds half of a surrogate pair; send valid Unicode.', param);
  return unit;
}

/** Node reads header bytes as Latin-1 (RFC 9110 §5.5 leaves them opaque); callers send UTF-8. */
function decodeHeader(value: string): string {
  if (!NOT_ASCII.test(value)) return value;
  const bytes = Buffer.from(value, 'latin1');
  if (!isUtf8(bytes))
    throw badRequest(
      'bad_unit',
      'The header x-catena-unit is not UTF-8; encode the unit as UTF-8.',
      'x-catena-unit',
    );
  return bytes.toString('utf8');
}
