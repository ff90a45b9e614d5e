import type { IncomingMessage } from 'node:http';
import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { DEFAULT_WORKSPACE_ID } from '#libs/platform/database/default-workspace.js';
import type { Caller } from '../../http/caller.js';
import { MlflowError } from './mlflow-error.js';

/** The caller, and what it calls its workspace. */
export interface MlflowCaller extends Caller {
  readonly workspace: string;
}

const DEFAULT_NAME = 'default';
const MAX_ACTOR = 128;
/** How long a name of a workspace is believed. */
const REMEMBERED_MS = 10_000;

/** Who calls, and for which workspace, as MLflow's clients say it. */
@Injectable()
export class MlflowCallers {
  private readonly remembered = new Map<string, { readonly id: string; readonly until: number }>();

  constructor(private readonly database: DataSource) {}

  /** Header `x-mlflow-workspace`, and the actor of `x-catena-actor` or else the user of basic authentication. */
  of(request: IncomingMessage, anyWorkspace = false): MlflowCaller | Promise<MlflowCaller> {
    const actor = claimedActor(request);
    const workspace = anyWorkspace ? undefined : request.headers['x-mlflow-workspace'];
    if (workspace === undefined || workspace === '' || workspace === DEFAULT_NAME)
      return { workspaceId: DEFAULT_WORKSPACE_ID, workspace: DEFAULT_NAME, actor };
    return this.inWorkspace(String(workspace), actor);
  }

  private async inWorkspace(name: string, actor: string): Promise<MlflowCaller> {
    const known = this.remembered.get(name);
    if (known !== undefined && known.until > Date.now())
      return { workspaceId: known.id, workspace: name, actor };
    const [found] = await this.database.query<{ id: string }[]>('SELECT id FROM workspace WHERE name = $1', [
      name,
    ]);
    if (found === undefined)
      throw new MlflowError('RESOURCE_DOES_NOT_EXIST', `Workspace '${name.slice(0, 128)}' not found`);
    this.remembered.set(name, { id: found.id, until: Date.now() + REMEMBERED_MS });
    return { workspaceId: found.id, workspace: name, actor };
  }
}

const ANONYMOUS = 'anonymous';

/** The caller, under the name a request gives in its body (`user_id`) where the headers name nobody. */
export function namedCaller(caller: Caller, userId: string | undefined): Caller {
  return caller.actor === ANONYMOUS && userId !== undefined && userId !== ''
    ? { ...caller, actor: userId.slice(0, MAX_ACTOR) }
    : caller;
}

/** Who did something, where anybody was named. */
export function namedActor(actor: string): string | undefined {
  return actor === ANONYMOUS ? undefined : actor;
}

function claimedActor(request: IncomingMessage): string {
  const header = request.headers['x-catena-actor'];
  // Node decodes header bytes as latin1; clients send UTF-8.
  const claimed =
    header === undefined
      ? basicUser(request.headers.authorization)
      : Buffer.from(String(header), 'latin1').toString('utf8').trim();
  if (claimed === undefined) return ANONYMOUS;
  if (claimed.length === 0 || claimed.length > MAX_ACTOR || claimed.includes('\0'))
    throw new MlflowError(
      'INVALID_PARAMETER_VALUE',
      `The name of the caller must have 1 to ${MAX_ACTOR} characters.`,
    );
  return claimed;
}

function basicUser(authorization: string | undefined): string | undefined {
  if (authorization === undefined || !/^basic /i.test(authorization)) return undefined;
  const [user] = Buffer.from(authorization.slice(6), 'base64').toString('utf8').split(':', 1);
  return user === '' ? undefined : user;
}
