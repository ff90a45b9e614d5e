import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import type { Kind } from '#libs/core/content/schemas.js';
import { DomainError } from '#libs/core/errors/catalogue.js';
import type { Caller } from '../../http/caller.js';
import { decodeCursor, isNumberKey, pageOf, type Page, type PageQuery } from '../../http/page.js';
import { RunReader } from '../../search/run-reader.js';
import { runWithMetricsDto } from '../run-answers.js';
import type { RunWithMetricsDto } from '../run.dto.js';
import { SELECT_RUN, type RunRecord } from '../run-record.js';

const MAX_SERIAL = 2_147_483_647;

/** Which runs evaluated a prompt, model or chain version. */
@Injectable()
export class VersionRuns {
  constructor(
    private readonly database: DataSource,
    private readonly reader: RunReader,
  ) {}

  /** Newest first, without deleted ones. @throws DomainError NOT_FOUND (the version); INVALID_CURSOR. */
  async list(
    caller: Caller,
    kind: Kind,
    name: string,
    number: number,
    query: PageQuery,
  ): Promise<Page<RunWithMetricsDto>> {
    const before = decodeCursor(query.cursor, isSerial);
    const versionId = await this.versionId(caller, kind, name, number);
    const runs: RunRecord[] = await this.database.query(
      `${SELECT_RUN} JOIN run_version rv ON rv.run = r.serial
        WHERE rv.version_id = $1 AND rv.run < $2 AND r.workspace_id = $3 AND r.deleted_at IS NULL
        ORDER BY rv.run DESC LIMIT $4`,
      [versionId, before ?? MAX_SERIAL, caller.workspaceId, query.limit + 1],
    );
    const data = await this.reader.load(runs.map(({ serial }) => serial));
    return pageOf(
      runs,
      query.limit,
      (run) => run.serial,
      (run) => runWithMetricsDto(run, data.get(run.serial)!.metrics),
    );
  }

  private async versionId(caller: Caller, kind: Kind, name: string, number: number): Promise<string> {
    const rows: { id: string }[] = await this.database.query(
      `SELECT v.id FROM entry e JOIN version v ON v.entry_id = e.id
        WHERE e.workspace_id = $1 AND e.kind = $2 AND e.name = $3 AND v.number = $4`,
      [caller.workspaceId, kind, name, number],
    );
    if (!rows[0])
      throw new DomainError(
        'NOT_FOUND',
        `There is no version ${number} of a ${kind} named "${name.slice(0, 128)}"; correct the name or the number.`,
      );
    return rows[0].id;
  }
}

const isSerial = (key: unknown): key is number => isNumberKey(key) && key >= 0 && key <= MAX_SERIAL;
