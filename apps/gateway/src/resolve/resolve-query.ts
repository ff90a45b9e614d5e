import { unitProblem } from '#libs/core/assignment/assign.js';
import { badRequest } from '../http/gateway-error.js';

export interface ResolveQuery {
  readonly unit: string | undefined;
  readonly includeConfig: boolean;
}

/**
 * Reads `unit=…&include=config`, percent-decoded as form data (`+` is a space).
 * @throws GatewayError 400 for anything else: an unknown or repeated parameter is nearly always a typo that would
 * silently assign at random.
 */
export function readResolveQuery(query: string): ResolveQuery {
  let unit: string | undefined;
  let include: string | undefined;
  if (query !== '') {
    for (const pair of query.split('&')) {
      if (pair === '') continue;
      const equals = pair.indexOf('=');
      const name = equals === -1 ? pair : pair.slice(0, equals);
      const value = decode(name, equals === -1 ? '' : pair.slice(equals + 1));
      if (name === 'unit') {
        if (unit !== undefined) throw repeated('unit');
        unit = value;
      } else if (name === 'include') {
        if (include !== undefined) throw repeated('include');
        include = value;
      } else {
        throw badRequest(
          'unknown_parameter',
          `There is no query parameter "${name.slice(0, 100)}"; resolve takes "unit" and "include=config".`,
          name.slice(0, 100),
        );
      }
    }
  }
  if (unit !== undefined) {
    const problem = unitProblem(unit);
    if (problem !== undefined) throw badRequest('bad_unit', problem, 'unit');
  }
  if (include !== undefined && include !== 'config')
    throw badRequest(
      'bad_include',
      `include is "${include.slice(0, 100)}"; the only thing to include is "config".`,
      'include',
    );
  return { unit, includeConfig: include !== undefined };
}

function repeated(name: string): Error {
  return badRequest('repeated_parameter', `"${name}" is given twice; give it once.`, name);
}

function decode(name: string, text: string): string {
  const spaced = text.includes('+') ? text.replaceAll('+', ' ') : text;
  if (!spaced.includes('%')) return spaced;
  try {
    return decodeURIComponent(spaced);
  } catch {
    throw badRequest(
      'bad_percent_encoding',
      `The value of "${name.slice(0, 100)}" is not percent-encoded UTF-8; use encodeURIComponent.`,
      name.slice(0, 100),
    );
  }
}
