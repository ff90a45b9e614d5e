import type { MigrationInterface, QueryRunner } from 'typeorm';

/** What of the inference rows lies in the object store as Parquet. */
export class Archive1795305600022 implements MigrationInterface {
  readonly name = 'Archive1795305600022';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE archive_day (
        day          date        NOT NULL,
        arrived_to   bigint      NOT NULL DEFAULT 0,
        closing_to   bigint,
        partition    oid,
        attempt      uuid,
        archived_at  timestamptz,
        CONSTRAINT archive_day_pk PRIMARY KEY (day)
      );
      COMMENT ON TABLE archive_day IS 'UTC days whose rows, of all workspaces, are in the archive or on their way there';
      COMMENT ON COLUMN archive_day.arrived_to IS 'rows of the day that arrived below are in its files; 0 before the first';
      COMMENT ON COLUMN archive_day.closing_to IS 'what arrived_to becomes; kept from attempt to attempt, so that each writes the same rows';
      COMMENT ON COLUMN archive_day.partition IS 'the partition all its rows are in, until it is dropped; one made later has only late rows';
      COMMENT ON COLUMN archive_day.attempt IS 'the only attempt that may be committed; part of the keys it writes';

      CREATE TABLE archive_file (
        object_key      text        NOT NULL COLLATE "C",
        workspace_id    uuid        NOT NULL,
        day             date        NOT NULL,
        table_name      text        NOT NULL COLLATE "C",
        part            integer     NOT NULL,
        row_count       bigint      NOT NULL,
        size_bytes      bigint      NOT NULL,
        sha256          text        NOT NULL COLLATE "C",
        min_started_at  timestamptz NOT NULL,
        max_started_at  timestamptz NOT NULL,
        schema_version  integer     NOT NULL,
        archived_at     timestamptz NOT NULL,
        CONSTRAINT archive_file_pk PRIMARY KEY (object_key),
        CONSTRAINT archive_file_part_key UNIQUE (workspace_id, day, table_name, part),
        CONSTRAINT archive_file_day_fk FOREIGN KEY (day) REFERENCES archive_day (day),
        CONSTRAINT archive_file_workspace_fk FOREIGN KEY (workspace_id) REFERENCES workspace (id)
      );
      COMMENT ON TABLE archive_file IS 'the manifest: a Parquet object that is not in it is none of the archive';

      -- Whether a day's partitions may be dropped. Ask in the transaction that drops, with the partition locked
      -- (LOCK TABLE … IN ACCESS EXCLUSIVE MODE): then nothing arrives between the answer and the drop.
      CREATE FUNCTION catena_day_is_archived(the_day date) RETURNS boolean LANGUAGE sql VOLATILE AS $$
        SELECT EXISTS (
          SELECT FROM archive_day d WHERE d.day = the_day AND d.arrived_to > 0
             AND NOT EXISTS (
               SELECT FROM inference i
                WHERE i.started_at >= the_day::timestamp AT TIME ZONE 'UTC'
                  AND i.started_at < (the_day + 1)::timestamp AT TIME ZONE 'UTC' AND i.arrived >= d.arrived_to))
      $$;

      -- Archived days of which PostgreSQL no longer has all rows: the partition was dropped or detached.
      CREATE FUNCTION catena_days_in_archive_only(first date, last date) RETURNS SETOF date LANGUAGE sql STABLE AS $$
        SELECT d.day FROM archive_day d
         WHERE d.day BETWEEN first AND last AND d.arrived_to > 0
           AND NOT EXISTS (SELECT FROM pg_inherits i
                            WHERE i.inhrelid = d.partition AND i.inhparent = 'inference'::regclass)
      $$;
    `);
  }

  down(): Promise<void> {
    throw new Error('Migrations go forward only.');
  }
}
