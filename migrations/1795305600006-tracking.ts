import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Experiments, runs in full, and what runs log. Volume tables name runs, experiments and keys by small integers
 * (`serial`, `tracking_key.id`): a metric row is 32 bytes of data. They carry no foreign keys, which would cost a
 * trigger per row; runs are removed by `gc` only, which removes their rows first.
 */
export class Tracking1795305600006 implements MigrationInterface {
  readonly name = 'Tracking1795305600006';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      -- The counter of experiment numbers only grows. Number 0 is the experiment "Default".
      ALTER TABLE workspace ADD COLUMN last_experiment integer NOT NULL DEFAULT 0;

      CREATE TABLE experiment (
        id                 uuid        NOT NULL,
        serial             integer     GENERATED ALWAYS AS IDENTITY,
        workspace_id       uuid        NOT NULL,
        number             integer     NOT NULL,
        name               text        NOT NULL COLLATE "C",
        artifact_location  text,
        tags               jsonb       NOT NULL,
        created_at         timestamptz NOT NULL,
        created_by         text        NOT NULL,
        updated_at         timestamptz NOT NULL,
        deleted_at         timestamptz,
        CONSTRAINT experiment_pk PRIMARY KEY (id),
        CONSTRAINT experiment_workspace_fk FOREIGN KEY (workspace_id) REFERENCES workspace (id),
        CONSTRAINT experiment_serial_key UNIQUE (serial),
        CONSTRAINT experiment_number_key UNIQUE (workspace_id, number),
        CONSTRAINT experiment_name_key UNIQUE (workspace_id, name),
        CONSTRAINT experiment_number_check CHECK (number >= 0)
      );
      CREATE INDEX experiment_created_idx ON experiment (workspace_id, created_at DESC, number);
      COMMENT ON COLUMN experiment.number IS 'experiment_id of the MLflow protocol';
      COMMENT ON COLUMN experiment.artifact_location IS 'NULL: the artifact store of this registry';

      INSERT INTO experiment (id, workspace_id, number, name, tags, created_at, created_by, updated_at)
      SELECT gen_random_uuid(), id, 0, 'Default', '{}', now(), 'catena', now() FROM workspace;

      ALTER TABLE run
        ADD COLUMN serial             integer GENERATED ALWAYS AS IDENTITY,
        ADD COLUMN experiment_serial  integer,
        ADD COLUMN status             text,
        ADD COLUMN started_at         timestamptz,
        ADD COLUMN ended_at           timestamptz,
        ADD COLUMN updated_at         timestamptz,
        ADD COLUMN deleted_at         timestamptz;
      UPDATE run SET status = 'FINISHED', started_at = created_at, ended_at = created_at, updated_at = created_at,
                     experiment_serial = (SELECT serial FROM experiment e WHERE e.workspace_id = run.workspace_id AND e.number = 0);
      ALTER TABLE run
        ALTER COLUMN experiment_serial SET NOT NULL,
        ALTER COLUMN status SET NOT NULL,
        ALTER COLUMN updated_at SET NOT NULL,
        ADD CONSTRAINT run_serial_key UNIQUE (serial),
        ADD CONSTRAINT run_experiment_fk FOREIGN KEY (experiment_serial) REFERENCES experiment (serial),
        ADD CONSTRAINT run_status_check CHECK (status IN ('RUNNING', 'SCHEDULED', 'FINISHED', 'FAILED', 'KILLED'));
      CREATE INDEX run_started_idx ON run (experiment_serial, started_at DESC NULLS LAST, id);
      CREATE INDEX run_name_idx ON run (experiment_serial, name);
      CREATE INDEX run_unfinished_idx ON run (experiment_serial, status) WHERE status <> 'FINISHED';
      CREATE INDEX run_deleted_idx ON run (deleted_at) WHERE deleted_at IS NOT NULL;

      -- Names of metrics, params and tags of runs. Rows never change, so that processes may remember them.
      CREATE TABLE tracking_key (
        id            integer GENERATED ALWAYS AS IDENTITY,
        workspace_id  uuid    NOT NULL,
        name          text    NOT NULL COLLATE "C",
        CONSTRAINT tracking_key_pk PRIMARY KEY (id),
        CONSTRAINT tracking_key_workspace_fk FOREIGN KEY (workspace_id) REFERENCES workspace (id),
        CONSTRAINT tracking_key_name_key UNIQUE (workspace_id, name)
      );
      CREATE TRIGGER tracking_key_guard BEFORE UPDATE ON tracking_key EXECUTE FUNCTION catena_refuse_change();

      -- The primary key makes a repeated batch harmless.
      CREATE TABLE metric (
        run      integer          NOT NULL,
        key      integer          NOT NULL,
        step     bigint           NOT NULL,
        time_ms  bigint           NOT NULL,
        value    double precision NOT NULL,
        CONSTRAINT metric_pk PRIMARY KEY (run, key, step, time_ms, value)
      );

      -- The value of the greatest (step, time_ms, value) of each metric, for search.
      CREATE TABLE latest_metric (
        run         integer          NOT NULL,
        key         integer          NOT NULL,
        experiment  integer          NOT NULL,
        step        bigint           NOT NULL,
        time_ms     bigint           NOT NULL,
        value       double precision NOT NULL,
        CONSTRAINT latest_metric_pk PRIMARY KEY (run, key)
      );
      CREATE INDEX latest_metric_value_idx ON latest_metric (experiment, key, value, run);

      CREATE TABLE param (
        run         integer NOT NULL,
        key         integer NOT NULL,
        experiment  integer NOT NULL,
        value       text    NOT NULL COLLATE "C",
        head        text    COLLATE "C" GENERATED ALWAYS AS (left(value, 128)) STORED,
        CONSTRAINT param_pk PRIMARY KEY (run, key)
      );
      -- An index entry must stay small. A column, because an index of an expression is never enough for PostgreSQL
      -- to answer from, which is several times faster here.
      CREATE INDEX param_head_idx ON param (experiment, key, head, run);
      CREATE TRIGGER param_guard BEFORE UPDATE ON param EXECUTE FUNCTION catena_refuse_change();

      CREATE TABLE run_tag (
        run         integer NOT NULL,
        key         integer NOT NULL,
        experiment  integer NOT NULL,
        value       text    NOT NULL COLLATE "C",
        head        text    COLLATE "C" GENERATED ALWAYS AS (left(value, 128)) STORED,
        CONSTRAINT run_tag_pk PRIMARY KEY (run, key)
      );
      CREATE INDEX run_tag_head_idx ON run_tag (experiment, key, head, run);

      CREATE TABLE dataset (
        id           uuid        NOT NULL,
        experiment   integer     NOT NULL,
        name         text        NOT NULL COLLATE "C",
        digest       text        NOT NULL COLLATE "C",
        source_type  text        NOT NULL,
        source       text        NOT NULL,
        schema       text,
        profile      text,
        created_at   timestamptz NOT NULL,
        CONSTRAINT dataset_pk PRIMARY KEY (id),
        CONSTRAINT dataset_experiment_fk FOREIGN KEY (experiment) REFERENCES experiment (serial),
        CONSTRAINT dataset_name_key UNIQUE (experiment, name, digest)
      );

      CREATE TABLE run_dataset (
        run         integer NOT NULL,
        dataset_id  uuid    NOT NULL,
        tags        jsonb   NOT NULL,
        CONSTRAINT run_dataset_pk PRIMARY KEY (run, dataset_id),
        CONSTRAINT run_dataset_dataset_fk FOREIGN KEY (dataset_id) REFERENCES dataset (id)
      );
      COMMENT ON COLUMN run_dataset.tags IS 'for instance {"mlflow.data.context": "training"}';
      CREATE INDEX run_dataset_dataset_idx ON run_dataset (dataset_id, run);

      -- Models as runs make them, before (and whether or not) they are registered.
      CREATE TABLE logged_model (
        id              uuid        NOT NULL,
        workspace_id    uuid        NOT NULL,
        experiment      integer     NOT NULL,
        name            text        NOT NULL COLLATE "C",
        status          text        NOT NULL,
        status_message  text,
        model_type      text,
        source_run_id   uuid,
        params          jsonb       NOT NULL,
        tags            jsonb       NOT NULL,
        created_at      timestamptz NOT NULL,
        created_by      text        NOT NULL,
        updated_at      timestamptz NOT NULL,
        deleted_at      timestamptz,
        CONSTRAINT logged_model_pk PRIMARY KEY (id),
        CONSTRAINT logged_model_workspace_fk FOREIGN KEY (workspace_id) REFERENCES workspace (id),
        CONSTRAINT logged_model_experiment_fk FOREIGN KEY (experiment) REFERENCES experiment (serial),
        CONSTRAINT logged_model_run_fk FOREIGN KEY (source_run_id) REFERENCES run (id),
        CONSTRAINT logged_model_status_check CHECK (status IN ('PENDING', 'READY', 'FAILED'))
      );
      CREATE INDEX logged_model_created_idx ON logged_model (experiment, created_at DESC, id DESC);
      CREATE INDEX logged_model_run_idx ON logged_model (source_run_id);

      CREATE TABLE logged_model_metric (
        logged_model_id  uuid             NOT NULL,
        key              integer          NOT NULL,
        run              integer          NOT NULL,
        step             bigint           NOT NULL,
        time_ms          bigint           NOT NULL,
        value            double precision NOT NULL,
        dataset_id       uuid,
        dataset_name     text,
        dataset_digest   text,
        CONSTRAINT logged_model_metric_pk PRIMARY KEY (logged_model_id, key, run, step, time_ms),
        CONSTRAINT logged_model_metric_model_fk FOREIGN KEY (logged_model_id) REFERENCES logged_model (id)
      );
      CREATE INDEX logged_model_metric_value_idx ON logged_model_metric (key, value);

      -- Logged models that went into a run, and that came out of it.
      CREATE TABLE run_model (
        run              integer NOT NULL,
        logged_model_id  uuid    NOT NULL,
        direction        text    NOT NULL,
        step             bigint  NOT NULL,
        CONSTRAINT run_model_pk PRIMARY KEY (run, logged_model_id, direction, step),
        CONSTRAINT run_model_model_fk FOREIGN KEY (logged_model_id) REFERENCES logged_model (id),
        CONSTRAINT run_model_direction_check CHECK (direction IN ('input', 'output'))
      );
      CREATE INDEX run_model_model_idx ON run_model (logged_model_id);

      -- Prompt, model and chain versions that a run evaluated.
      CREATE TABLE run_version (
        run         integer NOT NULL,
        version_id  uuid    NOT NULL,
        CONSTRAINT run_version_pk PRIMARY KEY (run, version_id),
        CONSTRAINT run_version_version_fk FOREIGN KEY (version_id) REFERENCES version (id)
      );
      CREATE INDEX run_version_version_idx ON run_version (version_id, run DESC);
    `);
  }

  down(): Promise<void> {
    throw new Error('Migrations go forward only.');
  }
}
