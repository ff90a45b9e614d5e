import type { DataSource, EntityManager } from 'typeorm';

export type Noun = 'experiment' | 'run' | 'logged model' | 'model' | 'deleted';

export interface ImportRecord {
  readonly sourceId: string;
  readonly targetId: string;
  /** Null while only a part of it is here. */
  readonly fingerprint: string | null;
}

const COLUMNS = 'source_id AS "sourceId", target_id AS "targetId", fingerprint';

/** The table `import_record`, for one source and one workspace. */
export class ImportRecords {
  constructor(
    private readonly database: DataSource,
    private readonly workspaceId: string,
    private readonly source: string,
  ) {}

  async find(noun: Noun, sourceId: string): Promise<ImportRecord | undefined> {
    const rows: ImportRecord[] = await this.database.query(
      `SELECT ${COLUMNS} FROM import_record WHERE workspace_id = $1 AND source = $2 AND noun = $3 AND source_id = $4`,
      [this.workspaceId, this.source, noun, sourceId],
    );
    return rows[0];
  }

  /** Together with the row it stands for, in `tx`. */
  async add(tx: EntityManager, noun: Noun, sourceId: string, targetId: string): Promise<void> {
    await tx.query(
      `INSERT INTO import_record (workspace_id, source, noun, source_id, target_id, imported_at)
       VALUES ($1, $2, $3, $4, $5, now())`,
      [this.workspaceId, this.source, noun, sourceId, targetId],
    );
  }

  async finish(noun: Noun, sourceId: string, fingerprint: string): Promise<void> {
    await this.database.query(
      `UPDATE import_record SET fingerprint = $5
        WHERE workspace_id = $1 AND source = $2 AND noun = $3 AND source_id = $4`,
      [this.workspaceId, this.source, noun, sourceId, fingerprint],
    );
  }

  /** Everything of one kind, some at a time. */
  async *all(noun: Noun): AsyncGenerator<ImportRecord> {
    let after = '';
    for (;;) {
      const rows: ImportRecord[] = await this.database.query(
        `SELECT ${COLUMNS} FROM import_record
          WHERE workspace_id = $1 AND source = $2 AND noun = $3 AND source_id > $4 ORDER BY source_id LIMIT 500`,
        [this.workspaceId, this.source, noun, after],
      );
      yield* rows;
      if (rows.length < 500) return;
      after = rows.at(-1)!.sourceId;
    }
  }
}
