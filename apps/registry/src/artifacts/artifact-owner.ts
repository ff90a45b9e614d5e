import { createParamDecorator, Injectable, type ExecutionContext } from '@nestjs/common';
import type { Request } from 'express';
import { DataSource } from 'typeorm';
import { validate } from 'uuid';
import type { Kind } from '#libs/core/content/schemas.js';
import { DomainError } from '#libs/core/errors/catalogue.js';
import { parseVersionNumber } from '../entries/versions/version-number.js';
import type { Caller } from '../http/caller.js';

/** What a URL says about the owner of artifacts. */
export type OwnerReference =
  | { readonly kind: Kind; readonly name: string; readonly number: number }
  | { readonly kind: 'version'; readonly versionId: string }
  | { readonly kind: 'run'; readonly runId: string }
  | { readonly kind: 'loggedModel'; readonly loggedModelId: string }
  /** By the id its client made. */
  | { readonly kind: 'trace'; readonly traceId: string }
  /** The workspace itself: files that MLflow's clients put beside all runs and models. */
  | { readonly kind: 'workspace' };

export type OwnerType = 'version' | 'run' | 'loggedModel' | 'trace' | 'workspace';

/** Whose artifacts a row is about. */
export interface Owner {
  readonly type: OwnerType;
  /** Null for the workspace. */
  readonly id: string | null;
  readonly archived: boolean;
}

/** What a version holds never changes; everything else is a working directory. */
export function isImmutable(owner: Owner): boolean {
  return owner.type === 'version';
}

/** Injects the `OwnerReference` in the URL, whose shape the kind tells. */
export const OwnerParam = createParamDecorator(
  (kind: OwnerReference['kind'], context: ExecutionContext): OwnerReference => {
    const params = context.switchToHttp().getRequest<Request>().params as Record<string, string>;
    switch (kind) {
      case 'run':
        return { kind, runId: params['runId']! };
      case 'loggedModel':
        return { kind, loggedModelId: params['loggedModelId']! };
      case 'trace':
        return { kind, traceId: params['traceId']! };
      case 'version':
        return { kind, versionId: params['versionId']! };
      case 'workspace':
        return { kind };
      case 'prompt':
      case 'model':
      case 'chain':
        return { kind, name: params['name']!, number: parseVersionNumber(params['number']!) };
    }
  },
);

@Injectable()
export class OwnerLookup {
  constructor(private readonly database: DataSource) {}

  /** @throws DomainError NOT_FOUND. */
  async get(caller: Caller, reference: OwnerReference): Promise<Owner> {
    switch (reference.kind) {
      case 'run':
        return this.byId(caller, 'run', reference.runId);
      case 'loggedModel':
        return this.byId(caller, 'loggedModel', reference.loggedModelId);
      case 'trace':
        return this.byId(caller, 'trace', reference.traceId);
      case 'workspace':
        return { type: 'workspace', id: null, archived: false };
      case 'version':
        return this.version(caller, 'v.id = $2', [reference.versionId], `"${reference.versionId}"`);
      case 'prompt':
      case 'model':
      case 'chain': {
        const { kind, name, number } = reference;
        const condition = 'e.kind = $2 AND e.name = $3 AND v.number = $4';
        return this.version(caller, condition, [kind, name, number], `${number} of ${kind} "${name}"`);
      }
    }
  }

  /** As `get`, for adding artifacts. @throws DomainError ARCHIVED. */
  async getWritable(caller: Caller, reference: OwnerReference): Promise<Owner> {
    const owner = await this.get(caller, reference);
    if (owner.archived)
      throw new DomainError('ARCHIVED', 'The version is archived; restore it before you add artifacts.');
    return owner;
  }

  private async byId(caller: Caller, type: keyof typeof BY_ID, given: string): Promise<Owner> {
    const { table, column, isId, said } = BY_ID[type];
    const rows: { id: string }[] = isId(given)
      ? await this.database.query(`SELECT id FROM ${table} WHERE workspace_id = $1 AND ${column} = $2`, [
          caller.workspaceId,
          given,
        ])
      : [];
    if (!rows[0])
      throw new DomainError(
        'NOT_FOUND',
        `There is no ${said} "${given.slice(0, 128)}"; correct the id, or create it first.`,
      );
    return { type, id: rows[0].id, archived: false };
  }

  private async version(
    caller: Caller,
    condition: string,
    values: readonly unknown[],
    said: string,
  ): Promise<Owner> {
    const rows: { id: string; archived: boolean }[] = await this.database.query(
      `SELECT v.id, (v.archived_at IS NOT NULL OR e.archived_at IS NOT NULL) AS archived
         FROM entry e
         JOIN version v ON v.entry_id = e.id
        WHERE e.workspace_id = $1 AND ${condition}`,
      [caller.workspaceId, ...values],
    );
    const version = rows[0];
    if (!version)
      throw new DomainError(
        'NOT_FOUND',
        `There is no version ${said}; register it first, or correct the name or number.`,
      );
    return { type: 'version', id: version.id, archived: version.archived };
  }
}

const BY_ID = {
  run: { table: 'run', column: 'id', isId: validate, said: 'run' },
  loggedModel: { table: 'logged_model', column: 'id', isId: validate, said: 'logged model' },
  trace: { table: 'trace', column: 'trace_id', isId: () => true, said: 'trace' },
} as const;
