import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import type { Kind } from '#libs/core/content/schemas.js';
import { DomainError } from '#libs/core/errors/catalogue.js';
import type { Caller } from '../../http/caller.js';
import { AliasService } from '../aliases/alias.service.js';
import { Entry } from '../entry.entity.js';
import { EntryService } from '../entry.service.js';
import { Version } from './version.entity.js';

const REASON = 'deleted through the MLflow protocol';

/**
 * What deleting is to clients that know it: aliases go, each with a line in its log, and what was deleted is archived.
 * Nothing is removed, what is pinned goes on working, and numbers are never issued again.
 */
@Injectable()
export class RetirementService {
  constructor(
    private readonly database: DataSource,
    private readonly entries: EntryService,
    private readonly aliases: AliasService,
  ) {}

  /** With all its versions. @throws DomainError NOT_FOUND. */
  async retireEntry(caller: Caller, kind: Kind, name: string): Promise<void> {
    await this.database.transaction(async (tx) => {
      const entry = await this.entries.lock(caller, kind, name, tx);
      await this.aliases.removeAll(caller, entry, undefined, REASON, tx);
      const now = new Date();
      await tx.query(`UPDATE version SET archived_at = $2 WHERE entry_id = $1 AND archived_at IS NULL`, [
        entry.id,
        now,
      ]);
      await tx.getRepository(Entry).update({ id: entry.id }, { archivedAt: now, updatedAt: now });
    });
  }

  /** @throws DomainError NOT_FOUND, also when it is archived already. */
  async retireVersion(caller: Caller, kind: Kind, name: string, number: number): Promise<void> {
    await this.database.transaction(async (tx) => {
      const entry = await this.entries.lock(caller, kind, name, tx);
      const version = await tx.getRepository(Version).findOneBy({ entryId: entry.id, number });
      if (!version || version.archivedAt !== null)
        throw new DomainError('NOT_FOUND', `The ${kind} "${name}" has no version ${number} in use.`);
      await this.aliases.removeAll(caller, entry, version.id, REASON, tx);
      const now = new Date();
      await tx.getRepository(Version).update({ id: version.id }, { archivedAt: now });
      await tx.getRepository(Entry).update({ id: entry.id }, { updatedAt: now });
    });
  }
}
