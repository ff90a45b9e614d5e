import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { Request } from 'express';
import { DEFAULT_WORKSPACE_ID } from '#libs/platform/database/default-workspace.js';
import { DomainError } from '#libs/core/errors/catalogue.js';

/** On whose behalf a request acts. Services take it as their first argument and never look further. */
export interface Caller {
  readonly workspaceId: string;
  /** Who is recorded in logs of moves, splits and versions. */
  readonly actor: string;
}

const MAX_ACTOR = 128;

/** Injects the `Caller`. Until keys identify callers, the actor is what header `x-catena-actor` claims. */
export const CallerParam = createParamDecorator((_: unknown, context: ExecutionContext): Caller => {
  const claimed = context.switchToHttp().getRequest<Request>().header('x-catena-actor');
  // Node decodes header bytes as latin1; clients send UTF-8.
  const actor = claimed === undefined ? 'anonymous' : Buffer.from(claimed, 'latin1').toString('utf8').trim();
  if (actor.length === 0 || actor.length > MAX_ACTOR)
    throw new DomainError(
      'VALIDATION_FAILED',
      `Header x-catena-actor must have 1 to ${MAX_ACTOR} characters.`,
    );
  return { workspaceId: DEFAULT_WORKSPACE_ID, actor };
});
