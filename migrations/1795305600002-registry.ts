import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Entries (named prompts, models and chains), their immutable versions, and the aliases that point at versions. */
export class Registry1795305600002 implements MigrationInterface {
  readonly name = 'Registry1795305600002';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE entry (
        id              uuid        NOT NULL,
        workspace_id    uuid        NOT NULL,
        kind            text        NOT NULL,
        name            text        NOT NULL COLLATE "C",
        description     text,
        tags            jsonb       NOT NULL,
        latest_version  integer     NOT NULL,
        created_at      timestamptz NOT NULL,
        created_by      text        NOT NULL,
        updated_at      timestamptz NOT NULL,
        archived_at     timestamptz,
        CONSTRAINT entry_pk PRIMARY KEY (id),
        CONSTRAINT entry_workspace_fk FOREIGN KEY (workspace_id) REFERENCES workspace (id),
        CONSTRAINT entry_name_key UNIQUE (workspace_id, kind, name),
        CONSTRAINT entry_kind_check CHECK (kind IN ('prompt', 'model', 'chain')),
        CONSTRAINT entry_latest_version_check CHECK (latest_version >= 0)
      );
      CREATE INDEX entry_tags_idx ON entry USING gin (tags jsonb_path_ops);

      -- The counter of version numbers lives here and only grows: a number is never issued twice.
      CREATE FUNCTION catena_guard_entry() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        IF TG_OP = 'DELETE' OR TG_OP = 'TRUNCATE' THEN
          RAISE EXCEPTION 'entries are archived, never deleted' USING ERRCODE = 'restrict_violation';
        END IF;
        IF (NEW.id, NEW.workspace_id, NEW.kind, NEW.name) IS DISTINCT FROM (OLD.id, OLD.workspace_id, OLD.kind, OLD.name)
           OR NEW.latest_version < OLD.latest_version THEN
          RAISE EXCEPTION 'the identity of an entry is immutable and its version counter only grows'
            USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN NEW;
      END $$;
      CREATE TRIGGER entry_guard BEFORE UPDATE OR DELETE ON entry FOR EACH ROW EXECUTE FUNCTION catena_guard_entry();
      CREATE TRIGGER entry_guard_truncate BEFORE TRUNCATE ON entry EXECUTE FUNCTION catena_guard_entry();

      CREATE TABLE version (
        id            uuid        NOT NULL,
        workspace_id  uuid        NOT NULL,
        entry_id      uuid        NOT NULL,
        number        integer     NOT NULL,
        digest        text        NOT NULL COLLATE "C",
        content       text        NOT NULL,
        message       text,
        created_at    timestamptz NOT NULL,
        created_by    text        NOT NULL,
        archived_at   timestamptz,
        CONSTRAINT version_pk PRIMARY KEY (id),
        CONSTRAINT version_workspace_fk FOREIGN KEY (workspace_id) REFERENCES workspace (id),
        CONSTRAINT version_entry_fk FOREIGN KEY (entry_id) REFERENCES entry (id),
        CONSTRAINT version_number_key UNIQUE (entry_id, number),
        CONSTRAINT version_digest_key UNIQUE (entry_id, digest),
        CONSTRAINT version_entry_id_key UNIQUE (entry_id, id),
        CONSTRAINT version_number_check CHECK (number > 0),
        CONSTRAINT version_digest_check CHECK (digest = 'sha256:' || encode(sha256(convert_to(content, 'UTF8')), 'hex'))
      );
      COMMENT ON COLUMN version.content IS 'RFC 8785 canonical JSON; the digest is over exactly these bytes';

      -- Archiving is the only thing that may ever change on a version.
      CREATE FUNCTION catena_guard_version() RETURNS trigger LANGUAGE plpgsql AS $$
      DECLARE before version; after version;
      BEGIN
        IF TG_OP = 'DELETE' OR TG_OP = 'TRUNCATE' THEN
          RAISE EXCEPTION 'versions are immutable: % refused', TG_OP USING ERRCODE = 'restrict_violation';
        END IF;
        before := OLD; after := NEW;
        before.archived_at := NULL; after.archived_at := NULL;
        IF before IS DISTINCT FROM after THEN
          RAISE EXCEPTION 'versions are immutable: register a new version instead' USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN NEW;
      END $$;
      CREATE TRIGGER version_guard BEFORE UPDATE OR DELETE ON version FOR EACH ROW EXECUTE FUNCTION catena_guard_version();
      CREATE TRIGGER version_guard_truncate BEFORE TRUNCATE ON version EXECUTE FUNCTION catena_guard_version();

      -- Lineage: which version names which. The content holds the same pins; this makes them joinable.
      CREATE TABLE version_reference (
        workspace_id   uuid NOT NULL,
        version_id     uuid NOT NULL,
        path           text NOT NULL,
        to_version_id  uuid NOT NULL,
        CONSTRAINT version_reference_pk PRIMARY KEY (version_id, path),
        CONSTRAINT version_reference_from_fk FOREIGN KEY (version_id) REFERENCES version (id),
        CONSTRAINT version_reference_to_fk FOREIGN KEY (to_version_id) REFERENCES version (id)
      );
      COMMENT ON COLUMN version_reference.path IS 'JSON Pointer of the reference inside the content';
      CREATE INDEX version_reference_to_idx ON version_reference (to_version_id);
      CREATE TRIGGER version_reference_guard BEFORE UPDATE OR DELETE OR TRUNCATE ON version_reference
        EXECUTE FUNCTION catena_refuse_change();

      CREATE TABLE alias (
        workspace_id  uuid        NOT NULL,
        entry_id      uuid        NOT NULL,
        name          text        NOT NULL COLLATE "C",
        version_id    uuid,
        revision      integer     NOT NULL,
        updated_at    timestamptz NOT NULL,
        updated_by    text        NOT NULL,
        CONSTRAINT alias_pk PRIMARY KEY (entry_id, name),
        CONSTRAINT alias_workspace_fk FOREIGN KEY (workspace_id) REFERENCES workspace (id),
        CONSTRAINT alias_version_fk FOREIGN KEY (entry_id, version_id) REFERENCES version (entry_id, id)
      );
      COMMENT ON COLUMN alias.version_id IS 'NULL after the alias was removed: the row stays, so revisions only grow';
      CREATE INDEX alias_version_idx ON alias (version_id);
      CREATE INDEX alias_name_idx ON alias (workspace_id, name);

      CREATE TABLE alias_move (
        workspace_id     uuid        NOT NULL,
        entry_id         uuid        NOT NULL,
        alias            text        NOT NULL COLLATE "C",
        revision         integer     NOT NULL,
        from_version_id  uuid,
        to_version_id    uuid,
        moved_at         timestamptz NOT NULL,
        moved_by         text        NOT NULL,
        reason           text,
        CONSTRAINT alias_move_pk PRIMARY KEY (entry_id, alias, revision),
        CONSTRAINT alias_move_entry_fk FOREIGN KEY (entry_id) REFERENCES entry (id),
        CONSTRAINT alias_move_from_fk FOREIGN KEY (from_version_id) REFERENCES version (id),
        CONSTRAINT alias_move_to_fk FOREIGN KEY (to_version_id) REFERENCES version (id)
      );
      CREATE TRIGGER alias_move_guard BEFORE UPDATE OR DELETE OR TRUNCATE ON alias_move
        EXECUTE FUNCTION catena_refuse_change();
    `);
  }

  down(): Promise<void> {
    throw new Error('Migrations go forward only.');
  }
}
