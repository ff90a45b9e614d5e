import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Artifacts of runs, logged models and traces, and files of the workspace itself, are working files: the newest bytes
 * under a path win, and they can be deleted. Artifacts of versions stay immutable.
 */
export class RunArtifacts1795305600008 implements MigrationInterface {
  readonly name = 'RunArtifacts1795305600008';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      -- Every upload is an object of its own: it is written to where it stays, and removing one can never hit the
      -- bytes of another upload that happens to be the same. Until now the key was made of the digest.
      ALTER TABLE blob ADD COLUMN object_key text;
      DROP TRIGGER blob_guard ON blob;
      UPDATE blob SET object_key =
        'workspaces/' || workspace_id || '/blobs/sha256/' || left(sha256, 2) || '/' || sha256;
      ALTER TABLE blob ALTER COLUMN object_key SET NOT NULL;
      CREATE FUNCTION catena_guard_blob() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        IF (NEW.workspace_id, NEW.sha256, NEW.size_bytes, NEW.created_at)
           IS DISTINCT FROM (OLD.workspace_id, OLD.sha256, OLD.size_bytes, OLD.created_at) THEN
          RAISE EXCEPTION 'digest and size of a blob are immutable' USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN NEW;
      END $$;
      CREATE TRIGGER blob_guard BEFORE UPDATE ON blob FOR EACH ROW EXECUTE FUNCTION catena_guard_blob();

      -- Objects in the store that no blob names: of uploads under way, and of blobs that were dropped.
      CREATE TABLE stray_object (
        key           text        NOT NULL,
        workspace_id  uuid        NOT NULL,
        remove_at     timestamptz NOT NULL,
        CONSTRAINT stray_object_pk PRIMARY KEY (key),
        CONSTRAINT stray_object_workspace_fk FOREIGN KEY (workspace_id) REFERENCES workspace (id)
      );
      CREATE INDEX stray_object_remove_idx ON stray_object (remove_at);

      ALTER TABLE artifact
        ADD COLUMN logged_model_id uuid,
        ADD COLUMN trace_id        uuid,
        DROP CONSTRAINT artifact_owner_check,
        ADD CONSTRAINT artifact_owner_check CHECK (num_nonnulls(version_id, run_id, logged_model_id, trace_id) <= 1),
        ADD CONSTRAINT artifact_logged_model_fk FOREIGN KEY (logged_model_id) REFERENCES logged_model (id);
      COMMENT ON TABLE artifact IS 'without an owner: a file of the workspace itself';
      CREATE UNIQUE INDEX artifact_logged_model_path_key ON artifact (logged_model_id, path) WHERE logged_model_id IS NOT NULL;
      CREATE UNIQUE INDEX artifact_trace_path_key ON artifact (trace_id, path) WHERE trace_id IS NOT NULL;
      CREATE UNIQUE INDEX artifact_workspace_path_key ON artifact (workspace_id, path)
        WHERE num_nonnulls(version_id, run_id, logged_model_id, trace_id) = 0;
      ALTER TABLE artifact_upload
        ADD COLUMN logged_model_id uuid,
        ADD COLUMN trace_id        uuid,
        ALTER COLUMN sha256 DROP NOT NULL,
        ALTER COLUMN size_bytes DROP NOT NULL,
        DROP CONSTRAINT artifact_upload_owner_check,
        ADD CONSTRAINT artifact_upload_owner_check CHECK (num_nonnulls(version_id, run_id, logged_model_id, trace_id) <= 1),
        ADD CONSTRAINT artifact_upload_logged_model_fk FOREIGN KEY (logged_model_id) REFERENCES logged_model (id);
      COMMENT ON COLUMN artifact_upload.sha256 IS 'NULL, with the size: what was uploaded is taken as it is';

      DROP TRIGGER artifact_guard ON artifact;
      CREATE FUNCTION catena_guard_artifact() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        IF TG_OP = 'TRUNCATE' THEN
          RAISE EXCEPTION 'artifacts of versions are immutable: TRUNCATE refused' USING ERRCODE = 'restrict_violation';
        END IF;
        IF OLD.version_id IS NOT NULL THEN
          RAISE EXCEPTION 'artifacts of versions are immutable: % refused', TG_OP USING ERRCODE = 'restrict_violation';
        END IF;
        IF TG_OP = 'DELETE' THEN RETURN OLD; END IF;
        IF (NEW.workspace_id, NEW.version_id, NEW.run_id, NEW.logged_model_id, NEW.trace_id, NEW.path)
           IS DISTINCT FROM (OLD.workspace_id, OLD.version_id, OLD.run_id, OLD.logged_model_id, OLD.trace_id, OLD.path) THEN
          RAISE EXCEPTION 'owner and path of an artifact are immutable' USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN NEW;
      END $$;
      CREATE TRIGGER artifact_guard BEFORE UPDATE OR DELETE ON artifact FOR EACH ROW EXECUTE FUNCTION catena_guard_artifact();
      CREATE TRIGGER artifact_guard_truncate BEFORE TRUNCATE ON artifact EXECUTE FUNCTION catena_guard_artifact();
    `);
  }

  down(): Promise<void> {
    throw new Error('Migrations go forward only.');
  }
}
