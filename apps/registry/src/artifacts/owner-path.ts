import { applyDecorators, Controller } from '@nestjs/common';
import { ApiParam } from '@nestjs/swagger';
import { KINDS, type Kind } from '#libs/core/content/schemas.js';
import { capitalised, PLURAL } from '../entries/kind.js';

export const EXAMPLE_ID = '019aab3c-5d10-7c43-9a55-0d3c8f1a2b4c';

/** Owners whose artifacts have routes of their own. */
export const ROUTED_OWNERS = [...KINDS, 'run', 'loggedModel'] as const;
export type RoutedOwner = (typeof ROUTED_OWNERS)[number];

/** Controller of the routes below `…/artifacts` of an owner. */
export function OwnerPath(owner: RoutedOwner): ClassDecorator {
  if (owner === 'run') return byId('api/v1/runs/:runId/artifacts', 'runId', 'Id of the run.');
  if (owner === 'loggedModel')
    return byId('api/v1/logged-models/:loggedModelId/artifacts', 'loggedModelId', 'Id of the logged model.');
  return ofVersion(owner);
}

/** What the documentation calls it. */
export function said(owner: RoutedOwner): string {
  if (owner === 'loggedModel') return 'logged model';
  return owner === 'run' ? 'run' : `${owner} version`;
}

/** Beginning of the names of its controllers. */
export function controllerPrefix(owner: RoutedOwner): string {
  if (owner === 'loggedModel') return 'LoggedModel';
  return owner === 'run' ? 'Run' : capitalised(owner);
}

function byId(path: string, name: string, description: string): ClassDecorator {
  return applyDecorators(
    Controller(path),
    ApiParam({ name, description, schema: { type: 'string', format: 'uuid', example: EXAMPLE_ID } }),
  );
}

function ofVersion(kind: Kind): ClassDecorator {
  return applyDecorators(
    Controller(`api/v1/${PLURAL[kind]}/:name/versions/:number/artifacts`),
    ApiParam({
      name: 'name',
      description: `Name of the ${kind}.`,
      schema: { type: 'string', example: 'support-reply' },
    }),
    ApiParam({
      name: 'number',
      description: 'Number of the version.',
      schema: { type: 'integer', minimum: 1, example: 1 },
    }),
  );
}
