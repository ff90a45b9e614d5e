import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Issues, label schemas and review queues; notes of every version, so that versions are searched by an index. */
export class Review1795305600012 implements MigrationInterface {
  readonly name = 'Review1795305600012';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE issue (
        id             uuid        NOT NULL,
        workspace_id   uuid        NOT NULL,
        experiment     integer     NOT NULL,
        name           text        NOT NULL COLLATE "C",
        description    text        NOT NULL,
        status         text        NOT NULL,
        severity       text,
        severity_rank  smallint    NOT NULL GENERATED ALWAYS AS (
          CASE severity WHEN 'high' THEN 3 WHEN 'medium' THEN 2 WHEN 'low' THEN 1 WHEN 'not_an_issue' THEN 0 ELSE -1 END) STORED,
        root_causes    text[]      NOT NULL,
        categories     text[]      NOT NULL,
        source_run_id  uuid,
        created_at     timestamptz NOT NULL,
        created_by     text,
        updated_at     timestamptz NOT NULL,
        CONSTRAINT issue_pk PRIMARY KEY (id),
        CONSTRAINT issue_workspace_fk FOREIGN KEY (workspace_id) REFERENCES workspace (id),
        CONSTRAINT issue_experiment_fk FOREIGN KEY (experiment) REFERENCES experiment (serial) ON DELETE CASCADE,
        CONSTRAINT issue_run_fk FOREIGN KEY (source_run_id) REFERENCES run (id) ON DELETE SET NULL,
        CONSTRAINT issue_status_check CHECK (status IN ('pending', 'rejected', 'resolved')),
        CONSTRAINT issue_severity_check CHECK (severity IN ('not_an_issue', 'low', 'medium', 'high'))
      );
      COMMENT ON COLUMN issue.severity_rank IS 'lists begin with the worst; issues without a severity are last';
      CREATE INDEX issue_list_idx ON issue (experiment, severity_rank DESC, created_at DESC, id DESC);
      CREATE INDEX issue_workspace_idx ON issue (workspace_id, severity_rank DESC, created_at DESC, id DESC);
      CREATE INDEX issue_run_idx ON issue (source_run_id) WHERE source_run_id IS NOT NULL;

      CREATE TABLE label_schema (
        id              uuid        NOT NULL,
        workspace_id    uuid        NOT NULL,
        experiment      integer     NOT NULL,
        name            text        NOT NULL COLLATE "C",
        type            text        NOT NULL,
        instruction     text,
        enable_comment  boolean     NOT NULL,
        input           json        NOT NULL,
        is_default      boolean     NOT NULL,
        created_at      timestamptz NOT NULL,
        created_by      text        NOT NULL,
        updated_at      timestamptz NOT NULL,
        CONSTRAINT label_schema_pk PRIMARY KEY (id),
        CONSTRAINT label_schema_workspace_fk FOREIGN KEY (workspace_id) REFERENCES workspace (id),
        CONSTRAINT label_schema_experiment_fk FOREIGN KEY (experiment) REFERENCES experiment (serial) ON DELETE CASCADE,
        CONSTRAINT label_schema_name_key UNIQUE (experiment, name),
        CONSTRAINT label_schema_type_check CHECK (type IN ('feedback', 'expectation'))
      );
      COMMENT ON COLUMN label_schema.input IS 'how a reviewer answers: { kind: passFail | categorical | numeric | text, … }; json, because numbers keep their digits';
      COMMENT ON COLUMN label_schema.is_default IS 'the question that every experiment has: made when its questions are first listed, never changed';
      CREATE INDEX label_schema_list_idx ON label_schema (experiment, created_at DESC, id);

      CREATE TABLE review_queue (
        id                uuid        NOT NULL,
        workspace_id      uuid        NOT NULL,
        experiment        integer     NOT NULL,
        name              text        NOT NULL COLLATE "C",
        name_key          text        NOT NULL COLLATE "C",
        kind              text        NOT NULL,
        users             text[]      NOT NULL,
        label_schema_ids  uuid[]      NOT NULL,
        created_at        timestamptz NOT NULL,
        created_by        text        NOT NULL,
        updated_at        timestamptz NOT NULL,
        CONSTRAINT review_queue_pk PRIMARY KEY (id),
        CONSTRAINT review_queue_workspace_fk FOREIGN KEY (workspace_id) REFERENCES workspace (id),
        CONSTRAINT review_queue_experiment_fk FOREIGN KEY (experiment) REFERENCES experiment (serial) ON DELETE CASCADE,
        CONSTRAINT review_queue_name_key UNIQUE (experiment, name_key),
        CONSTRAINT review_queue_kind_check CHECK (kind IN ('user', 'custom'))
      );
      COMMENT ON COLUMN review_queue.name_key IS 'the name in lower case: names differ by more than that';
      COMMENT ON COLUMN review_queue.label_schema_ids IS 'its questions, ascending; those of a user queue are all of the experiment. A schema that is deleted stays named';
      CREATE INDEX review_queue_list_idx ON review_queue (experiment, created_at DESC, id);

      CREATE TABLE review_queue_item (
        queue_id      uuid        NOT NULL,
        trace_id      text        NOT NULL COLLATE "C",
        trace         bigint      NOT NULL,
        status        text        NOT NULL,
        completed_by  text,
        completed_at  timestamptz,
        created_at    timestamptz NOT NULL,
        updated_at    timestamptz NOT NULL,
        CONSTRAINT review_queue_item_pk PRIMARY KEY (queue_id, trace_id),
        CONSTRAINT review_queue_item_queue_fk FOREIGN KEY (queue_id) REFERENCES review_queue (id) ON DELETE CASCADE,
        CONSTRAINT review_queue_item_trace_fk FOREIGN KEY (trace) REFERENCES trace (serial) ON DELETE CASCADE,
        CONSTRAINT review_queue_item_status_check CHECK (status IN ('pending', 'complete', 'declined')),
        CONSTRAINT review_queue_item_completed_check CHECK (
          (status = 'pending') = (completed_by IS NULL) AND (completed_by IS NULL) = (completed_at IS NULL))
      );
      COMMENT ON COLUMN review_queue_item.trace_id IS 'as clients name the trace; beside its serial for the order of lists';
      CREATE INDEX review_queue_item_list_idx ON review_queue_item (queue_id, created_at DESC, trace_id);
      CREATE INDEX review_queue_item_trace_idx ON review_queue_item (trace);

      -- A version is searched by what is said about it, newest first: so something is said about each.
      ALTER TABLE version_note ADD COLUMN workspace_id uuid, ADD COLUMN kind text;
      UPDATE version_note n SET workspace_id = e.workspace_id, kind = e.kind
        FROM version v JOIN entry e ON e.id = v.entry_id WHERE v.id = n.version_id;
      INSERT INTO version_note (version_id, workspace_id, kind, description, tags, stage, updated_at)
        SELECT v.id, e.workspace_id, e.kind, NULL, '{}', 'None', v.created_at
          FROM version v JOIN entry e ON e.id = v.entry_id
         WHERE NOT EXISTS (SELECT FROM version_note n WHERE n.version_id = v.id);
      ALTER TABLE version_note ALTER COLUMN workspace_id SET NOT NULL, ALTER COLUMN kind SET NOT NULL,
        ADD CONSTRAINT version_note_workspace_fk FOREIGN KEY (workspace_id) REFERENCES workspace (id);
      COMMENT ON COLUMN version_note.kind IS 'that of the entry, which never changes: beside the time, for an index';
      CREATE INDEX version_note_updated_idx ON version_note (workspace_id, kind, updated_at DESC);

      -- MLflow's clients name runs of elsewhere, too.
      ALTER TABLE logged_model ADD COLUMN foreign_run text COLLATE "C";
      COMMENT ON COLUMN logged_model.foreign_run IS 'source run as a client named it, where there is none here';
      CREATE INDEX logged_model_foreign_run_idx ON logged_model (workspace_id, foreign_run) WHERE foreign_run IS NOT NULL;
    `);
  }

  down(): Promise<void> {
    throw new Error('Migrations go forward only.');
  }
}
