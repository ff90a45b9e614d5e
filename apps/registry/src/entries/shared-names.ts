import { Injectable } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import { DomainError } from '#libs/core/errors/catalogue.js';
import type { Caller } from '../http/caller.js';
import type { CreateEntryDto } from './entry.dto.js';
import { Entry } from './entry.entity.js';
import { refuseBadName } from './entry-name.js';
import { renameEntry } from './entry-rename.js';
import { EntryService } from './entry.service.js';

/** The kinds that share their names in MLflow's protocol. */
export type SharedKind = 'prompt' | 'model';

/**
 * Prompts and models under one name each, as MLflow's clients know them. Natively both may have a name; such clients
 * then see the older one, so that nothing they made is ever hidden from them.
 */
@Injectable()
export class SharedNames {
  constructor(
    private readonly database: DataSource,
    private readonly entries: EntryService,
  ) {}

  /** Which kind a name is; undefined where no entry in use has it. */
  async find(
    caller: Caller,
    name: string,
    manager: EntityManager = this.database.manager,
  ): Promise<SharedKind | undefined> {
    const rows: { kind: SharedKind }[] = await manager.query(
      `SELECT kind FROM entry
        WHERE workspace_id = $1 AND kind IN ('model', 'prompt') AND name = $2 AND archived_at IS NULL
        ORDER BY created_at, id LIMIT 1`,
      [caller.workspaceId, name],
    );
    return rows[0]?.kind;
  }

  /**
   * Creates an entry whose name no prompt and no model in use has. An archived one of this name and kind is taken into
   * use again, with a new description and tags: its counter goes on, so that no number is ever issued twice.
   * @throws DomainError VALIDATION_FAILED; ALREADY_EXISTS whose details say the `kind` that has the name.
   */
  async create(caller: Caller, kind: SharedKind, dto: CreateEntryDto): Promise<void> {
    await this.database.transaction(async (tx) => {
      await this.reserve(caller, dto.name, tx);
      refuseBadName(kind, dto.name);
      const archived = await tx.getRepository(Entry).findOne({
        where: { workspaceId: caller.workspaceId, kind, name: dto.name },
        lock: { mode: 'for_no_key_update' },
      });
      if (!archived) return this.entries.insert(caller, kind, dto, tx);
      await this.entries.renew(caller, archived, dto, tx);
    });
  }

  /**
   * Renames a model to what no prompt and no model in use is called.
   * @throws DomainError NOT_FOUND, VALIDATION_FAILED, IMMUTABLE (a prompt), IN_USE, ALREADY_EXISTS.
   */
  async rename(caller: Caller, kind: SharedKind, name: string, newName: string): Promise<void> {
    await this.database.transaction(async (tx) => {
      const entry = await this.entries.lock(caller, kind, name, tx);
      if (newName !== name) await this.reserve(caller, newName, tx);
      await renameEntry(entry, newName, tx);
      await tx.getRepository(Entry).update({ id: entry.id }, { updatedAt: new Date() });
    });
  }

  /** Keeps others from taking a name until the transaction ends. @throws DomainError ALREADY_EXISTS. */
  private async reserve(caller: Caller, name: string, tx: EntityManager): Promise<void> {
    // Two kinds have no row in common that could be locked.
    await tx.query(`SELECT pg_advisory_xact_lock(hashtextextended($1, 0))`, [
      `catena-shared-name ${caller.workspaceId} ${name}`,
    ]);
    const kind = await this.find(caller, name, tx);
    if (kind !== undefined)
      throw new DomainError('ALREADY_EXISTS', `There is already a ${kind} named "${name}".`, { kind, name });
  }
}
