import { createParamDecorator, Injectable, type ExecutionContext } from '@nestjs/common';
import type { Request } from 'express';
import { DataSource } from 'typeorm';
import type { Kind } from '#libs/core/content/schemas.js';
import { DomainError } from '#libs/core/errors/catalogue.js';
import { parseVersionNumber } from '../entries/version-number.js';
import type { Caller } from '../http/caller.js';
import { RunService } from '../runs/run.service.js';

/** What a URL says about the owner of artifacts. */
export type OwnerReference =
  | { readonly kind: Kind; readonly name: string; readonly number: number }
  | { readonly kind: 'run'; readonly runId: string };

/** The row that owns artifacts: exactly one id is set. */
export interface Owner {
  readonly versionId: string | null;
  readonly runId: string | null;
  readonly archived: boolean;
}

/** Injects the `OwnerReference` in the URL, whose shape the kind tells. */
export const OwnerParam = createParamDecorator(
  (kind: OwnerReference['kind'], context: ExecutionContext): OwnerReference => {
    const params = context.switchToHttp().getRequest<Request>().params as Record<string, string>;
    if (kind === 'run') return { kind, runId: params['runId']! };
    return { kind, name: params['name']!, number: parseVersionNumber(params['number']!) };
  },
);

@Injectable()
export class OwnerLookup {
  constructor(
    private readonly database: DataSource,
    private readonly runs: RunService,
  ) {}

  /** @throws DomainError NOT_FOUND. */
  async get(caller: Caller, reference: OwnerReference): Promise<Owner> {
    if (reference.kind === 'run') {
      const run = await this.runs.get(caller, reference.runId);
      return { versionId: null, runId: run.id, archived: false };
    }
    const { kind, name, number } = reference;
    const rows: { id: string; archived: boolean }[] = await this.database.query(
      `SELECT v.id, (v.archived_at IS NOT NULL OR e.archived_at IS NOT NULL) AS archived
         FROM entry e
         JOIN version v ON v.entry_id = e.id
        WHERE e.workspace_id = $1 AND e.kind = $2 AND e.name = $3 AND v.number = $4`,
      [caller.workspaceId, kind, name, number],
    );
    const version = rows[0];
    if (!version)
      throw new DomainError(
        'NOT_FOUND',
        `There is no version ${number} of ${kind} "${name}"; register it first, or correct the name or number.`,
      );
    return { versionId: version.id, runId: null, archived: version.archived };
  }

  /** As `get`, for adding artifacts. @throws DomainError ARCHIVED. */
  async getWritable(caller: Caller, reference: OwnerReference): Promise<Owner> {
    const owner = await this.get(caller, reference);
    if (owner.archived)
      throw new DomainError('ARCHIVED', 'The version is archived; restore it before you add artifacts.');
    return owner;
  }
}
