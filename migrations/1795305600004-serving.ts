import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Model endpoints (where generation happens), serving endpoints (what applications call) and their splits. */
export class Serving1795305600004 implements MigrationInterface {
  readonly name = 'Serving1795305600004';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE model_endpoint (
        id                      uuid        NOT NULL,
        workspace_id            uuid        NOT NULL,
        name                    text        NOT NULL COLLATE "C",
        description             text,
        protocol                text        NOT NULL,
        models                  text[]      NOT NULL,
        input_micro_usd_per_million_tokens   bigint  NOT NULL,
        output_micro_usd_per_million_tokens  bigint  NOT NULL,
        max_concurrency_per_replica          integer NOT NULL,
        credential_ciphertext   bytea,
        credential_key_id       text,
        revision                integer     NOT NULL,
        created_at              timestamptz NOT NULL,
        created_by              text        NOT NULL,
        updated_at              timestamptz NOT NULL,
        archived_at             timestamptz,
        CONSTRAINT model_endpoint_pk PRIMARY KEY (id),
        CONSTRAINT model_endpoint_workspace_fk FOREIGN KEY (workspace_id) REFERENCES workspace (id),
        CONSTRAINT model_endpoint_name_key UNIQUE (workspace_id, name),
        CONSTRAINT model_endpoint_protocol_check CHECK (protocol IN ('openai')),
        CONSTRAINT model_endpoint_prices_check CHECK (
          input_micro_usd_per_million_tokens >= 0 AND output_micro_usd_per_million_tokens >= 0),
        CONSTRAINT model_endpoint_concurrency_check CHECK (max_concurrency_per_replica > 0),
        CONSTRAINT model_endpoint_credential_check CHECK ((credential_ciphertext IS NULL) = (credential_key_id IS NULL))
      );

      CREATE TABLE replica (
        id                 uuid    NOT NULL,
        workspace_id       uuid    NOT NULL,
        model_endpoint_id  uuid    NOT NULL,
        position           integer NOT NULL,
        base_url           text    NOT NULL,
        CONSTRAINT replica_pk PRIMARY KEY (id),
        CONSTRAINT replica_model_endpoint_fk FOREIGN KEY (model_endpoint_id) REFERENCES model_endpoint (id),
        CONSTRAINT replica_base_url_key UNIQUE (model_endpoint_id, base_url)
      );

      CREATE TABLE endpoint (
        id              uuid        NOT NULL,
        workspace_id    uuid        NOT NULL,
        name            text        NOT NULL COLLATE "C",
        description     text,
        split_revision  integer     NOT NULL,
        created_at      timestamptz NOT NULL,
        created_by      text        NOT NULL,
        updated_at      timestamptz NOT NULL,
        archived_at     timestamptz,
        CONSTRAINT endpoint_pk PRIMARY KEY (id),
        CONSTRAINT endpoint_workspace_fk FOREIGN KEY (workspace_id) REFERENCES workspace (id),
        CONSTRAINT endpoint_name_key UNIQUE (workspace_id, name),
        CONSTRAINT endpoint_split_revision_check CHECK (split_revision >= 0)
      );
      COMMENT ON COLUMN endpoint.split_revision IS 'the split in force; 0 before the first';

      CREATE TABLE split (
        id             uuid        NOT NULL,
        workspace_id   uuid        NOT NULL,
        endpoint_id    uuid        NOT NULL,
        revision       integer     NOT NULL,
        salt           text        NOT NULL,
        overrides      jsonb       NOT NULL,
        rollback_of    integer,
        moved_buckets  integer     NOT NULL,
        reason         text,
        created_at     timestamptz NOT NULL,
        created_by     text        NOT NULL,
        CONSTRAINT split_pk PRIMARY KEY (id),
        CONSTRAINT split_endpoint_fk FOREIGN KEY (endpoint_id) REFERENCES endpoint (id),
        CONSTRAINT split_revision_key UNIQUE (endpoint_id, revision),
        CONSTRAINT split_revision_check CHECK (revision > 0)
      );
      COMMENT ON COLUMN split.overrides IS 'object: unit -> arm name';
      COMMENT ON COLUMN split.rollback_of IS 'the revision whose arms were restored, when this is a rollback';

      CREATE TABLE arm (
        workspace_id      uuid     NOT NULL,
        split_id          uuid     NOT NULL,
        position          smallint NOT NULL,
        name              text     NOT NULL,
        chain_version_id  uuid     NOT NULL,
        weight_bps        integer  NOT NULL,
        ranges            jsonb    NOT NULL,
        CONSTRAINT arm_pk PRIMARY KEY (split_id, position),
        CONSTRAINT arm_split_fk FOREIGN KEY (split_id) REFERENCES split (id),
        CONSTRAINT arm_chain_version_fk FOREIGN KEY (chain_version_id) REFERENCES version (id),
        CONSTRAINT arm_name_key UNIQUE (split_id, name),
        CONSTRAINT arm_weight_check CHECK (weight_bps BETWEEN 0 AND 10000)
      );
      COMMENT ON COLUMN arm.ranges IS 'list of [start, end) bucket ranges';
      CREATE INDEX arm_chain_version_idx ON arm (chain_version_id);

      CREATE TRIGGER split_guard BEFORE UPDATE OR DELETE OR TRUNCATE ON split EXECUTE FUNCTION catena_refuse_change();
      CREATE TRIGGER arm_guard BEFORE UPDATE OR DELETE OR TRUNCATE ON arm EXECUTE FUNCTION catena_refuse_change();
    `);
  }

  down(): Promise<void> {
    throw new Error('Migrations go forward only.');
  }
}
