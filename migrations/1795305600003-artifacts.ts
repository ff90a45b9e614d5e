import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Runs (just enough to own artifacts), and artifacts: content-addressed bytes in S3 owned by a version or a run. */
export class Artifacts1795305600003 implements MigrationInterface {
  readonly name = 'Artifacts1795305600003';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE run (
        id            uuid        NOT NULL,
        workspace_id  uuid        NOT NULL,
        name          text        NOT NULL,
        created_at    timestamptz NOT NULL,
        created_by    text        NOT NULL,
        CONSTRAINT run_pk PRIMARY KEY (id),
        CONSTRAINT run_workspace_fk FOREIGN KEY (workspace_id) REFERENCES workspace (id)
      );
      CREATE INDEX run_list_idx ON run (workspace_id, id DESC);

      -- Bytes known to be in the object store with this digest. Addressed per workspace, so that one tenant
      -- cannot learn from a fast upload that another holds the same file.
      CREATE TABLE blob (
        workspace_id  uuid        NOT NULL,
        sha256        text        NOT NULL COLLATE "C",
        size_bytes    bigint      NOT NULL,
        created_at    timestamptz NOT NULL,
        CONSTRAINT blob_pk PRIMARY KEY (workspace_id, sha256),
        CONSTRAINT blob_workspace_fk FOREIGN KEY (workspace_id) REFERENCES workspace (id),
        CONSTRAINT blob_sha256_check CHECK (sha256 ~ '^[0-9a-f]{64}$'),
        CONSTRAINT blob_size_check CHECK (size_bytes >= 0)
      );

      CREATE TABLE artifact (
        id            uuid        NOT NULL,
        workspace_id  uuid        NOT NULL,
        version_id    uuid,
        run_id        uuid,
        path          text        NOT NULL COLLATE "C",
        sha256        text        NOT NULL COLLATE "C",
        content_type  text        NOT NULL,
        created_at    timestamptz NOT NULL,
        created_by    text        NOT NULL,
        CONSTRAINT artifact_pk PRIMARY KEY (id),
        CONSTRAINT artifact_blob_fk FOREIGN KEY (workspace_id, sha256) REFERENCES blob (workspace_id, sha256),
        CONSTRAINT artifact_version_fk FOREIGN KEY (version_id) REFERENCES version (id),
        CONSTRAINT artifact_run_fk FOREIGN KEY (run_id) REFERENCES run (id),
        CONSTRAINT artifact_owner_check CHECK (num_nonnulls(version_id, run_id) = 1)
      );
      CREATE UNIQUE INDEX artifact_version_path_key ON artifact (version_id, path) WHERE version_id IS NOT NULL;
      CREATE UNIQUE INDEX artifact_run_path_key ON artifact (run_id, path) WHERE run_id IS NOT NULL;
      CREATE INDEX artifact_blob_idx ON artifact (workspace_id, sha256);

      -- A path never changes its bytes, and bytes never change their digest or size.
      CREATE TRIGGER artifact_guard BEFORE UPDATE OR DELETE OR TRUNCATE ON artifact
        EXECUTE FUNCTION catena_refuse_change();
      CREATE TRIGGER blob_guard BEFORE UPDATE ON blob EXECUTE FUNCTION catena_refuse_change();

      -- An upload under way. Its bytes lie under a staging key until their digest is verified.
      CREATE TABLE artifact_upload (
        id            uuid        NOT NULL,
        workspace_id  uuid        NOT NULL,
        version_id    uuid,
        run_id        uuid,
        path          text        NOT NULL,
        sha256        text        NOT NULL,
        size_bytes    bigint      NOT NULL,
        content_type  text        NOT NULL,
        part_size_bytes    bigint,
        s3_upload_id  text,
        created_at    timestamptz NOT NULL,
        created_by    text        NOT NULL,
        expires_at    timestamptz NOT NULL,
        CONSTRAINT artifact_upload_pk PRIMARY KEY (id),
        CONSTRAINT artifact_upload_version_fk FOREIGN KEY (version_id) REFERENCES version (id),
        CONSTRAINT artifact_upload_run_fk FOREIGN KEY (run_id) REFERENCES run (id),
        CONSTRAINT artifact_upload_owner_check CHECK (num_nonnulls(version_id, run_id) = 1)
      );
      COMMENT ON COLUMN artifact_upload.s3_upload_id IS 'set for a multipart upload';
      CREATE INDEX artifact_upload_expiry_idx ON artifact_upload (expires_at);
    `);
  }

  down(): Promise<void> {
    throw new Error('Migrations go forward only.');
  }
}
