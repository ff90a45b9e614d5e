import type { MigrationInterface, QueryRunner } from 'typeorm';

/** What people say about a version after it was registered: the version itself never changes. */
export class VersionNotes1795305600007 implements MigrationInterface {
  readonly name = 'VersionNotes1795305600007';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE version_note (
        version_id   uuid        NOT NULL,
        description  text,
        tags         jsonb       NOT NULL,
        stage        text        NOT NULL,
        updated_at   timestamptz NOT NULL,
        CONSTRAINT version_note_pk PRIMARY KEY (version_id),
        CONSTRAINT version_note_version_fk FOREIGN KEY (version_id) REFERENCES version (id),
        CONSTRAINT version_note_stage_check CHECK (stage IN ('None', 'Staging', 'Production', 'Archived'))
      );
      COMMENT ON COLUMN version_note.stage IS 'deprecated stage of the MLflow protocol: None, Staging, Production or Archived';
      CREATE INDEX version_note_tags_idx ON version_note USING gin (tags jsonb_path_ops);

      -- Where a version came from. The content says the same; this makes it joinable, as version_reference does.
      CREATE TABLE version_source (
        version_id    uuid NOT NULL,
        workspace_id  uuid NOT NULL,
        source        text NOT NULL,
        run_id        text COLLATE "C",
        model_id      text COLLATE "C",
        CONSTRAINT version_source_pk PRIMARY KEY (version_id),
        CONSTRAINT version_source_version_fk FOREIGN KEY (version_id) REFERENCES version (id)
      );
      COMMENT ON COLUMN version_source.run_id IS 'as the client gave it: a run of this registry, or of elsewhere';
      CREATE INDEX version_source_run_idx ON version_source (workspace_id, run_id) WHERE run_id IS NOT NULL;
      CREATE INDEX version_source_model_idx ON version_source (workspace_id, model_id) WHERE model_id IS NOT NULL;
      CREATE TRIGGER version_source_guard BEFORE UPDATE OR DELETE OR TRUNCATE ON version_source
        EXECUTE FUNCTION catena_refuse_change();

      -- Through the MLflow protocol every registration is a version of its own, whatever it holds. The native
      -- protocol goes on finding the version that holds the same: under the lock of the entry.
      ALTER TABLE version DROP CONSTRAINT version_digest_key;
      CREATE INDEX version_digest_idx ON version (entry_id, digest);

      -- A model may be renamed, as MLflow's clients do; prompts and chains are named by pins.
      CREATE OR REPLACE FUNCTION catena_guard_entry() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        IF TG_OP = 'DELETE' OR TG_OP = 'TRUNCATE' THEN
          RAISE EXCEPTION 'entries are archived, never deleted' USING ERRCODE = 'restrict_violation';
        END IF;
        IF (NEW.id, NEW.workspace_id, NEW.kind) IS DISTINCT FROM (OLD.id, OLD.workspace_id, OLD.kind)
           OR (NEW.name <> OLD.name AND (OLD.kind <> 'model' OR EXISTS (
                 SELECT FROM version_reference r JOIN version v ON v.id = r.to_version_id WHERE v.entry_id = OLD.id)))
           OR NEW.latest_version < OLD.latest_version THEN
          RAISE EXCEPTION 'the identity of an entry is immutable and its version counter only grows'
            USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN NEW;
      END $$;
    `);
  }

  down(): Promise<void> {
    throw new Error('Migrations go forward only.');
  }
}
