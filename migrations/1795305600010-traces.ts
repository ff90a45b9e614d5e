import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Traces with their spans and assessments, and what evaluates them: datasets and scorers. Tables of volume name
 * their trace by `serial` and carry no foreign keys, which would cost a trigger per row; the service that deletes a
 * trace deletes their rows first.
 */
export class Traces1795305600010 implements MigrationInterface {
  readonly name = 'Traces1795305600010';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE trace (
        id                     uuid        NOT NULL,
        serial                 bigint      GENERATED ALWAYS AS IDENTITY,
        workspace_id           uuid        NOT NULL,
        trace_id               text        NOT NULL COLLATE "C",
        experiment             integer     NOT NULL,
        time_ms                bigint      NOT NULL,
        duration_ms            bigint,
        state                  text        NOT NULL,
        request_preview        text,
        response_preview       text,
        client_request_id      text        COLLATE "C",
        metadata               jsonb       NOT NULL,
        tags                   jsonb       NOT NULL,
        name                   text        COLLATE "C" GENERATED ALWAYS AS (left(tags ->> 'mlflow.traceName', 512)) STORED,
        session                text        COLLATE "C" GENERATED ALWAYS AS (left(metadata ->> 'mlflow.trace.session', 512)) STORED,
        input_tokens           bigint,
        output_tokens          bigint,
        total_tokens           bigint,
        cache_read_tokens      bigint,
        cache_creation_tokens  bigint,
        finalized              boolean     NOT NULL,
        created_at             timestamptz NOT NULL,
        CONSTRAINT trace_pk PRIMARY KEY (id),
        CONSTRAINT trace_workspace_fk FOREIGN KEY (workspace_id) REFERENCES workspace (id),
        CONSTRAINT trace_experiment_fk FOREIGN KEY (experiment) REFERENCES experiment (serial),
        CONSTRAINT trace_serial_key UNIQUE (serial),
        CONSTRAINT trace_trace_id_key UNIQUE (workspace_id, trace_id),
        CONSTRAINT trace_state_check CHECK (state IN ('STATE_UNSPECIFIED', 'OK', 'ERROR', 'IN_PROGRESS'))
      );
      COMMENT ON COLUMN trace.trace_id IS 'as its client made it, for instance tr-<32 hex digits>';
      COMMENT ON COLUMN trace.finalized IS 'its client reported the whole: spans that arrive later change no times, tokens or previews';
      CREATE INDEX trace_time_idx ON trace (experiment, time_ms DESC, serial DESC);
      CREATE INDEX trace_state_idx ON trace (experiment, state, time_ms DESC, serial DESC);
      CREATE INDEX trace_name_idx ON trace (experiment, name, time_ms DESC, serial DESC) WHERE name IS NOT NULL;
      CREATE INDEX trace_session_idx ON trace (experiment, session, time_ms DESC) WHERE session IS NOT NULL;
      CREATE INDEX trace_client_request_idx ON trace (experiment, client_request_id) WHERE client_request_id IS NOT NULL;
      CREATE INDEX trace_tags_idx ON trace USING gin (tags jsonb_path_ops);
      CREATE INDEX trace_metadata_idx ON trace USING gin (metadata jsonb_path_ops);
      ALTER TABLE artifact ADD CONSTRAINT artifact_trace_fk FOREIGN KEY (trace_id) REFERENCES trace (id);

      -- The whole span is in content, in OTLP's JSON with the field names of its protobuf; what is searched is beside it.
      CREATE TABLE span (
        trace           bigint  NOT NULL,
        span_id         text    NOT NULL COLLATE "C",
        experiment      integer NOT NULL,
        parent_id       text    COLLATE "C",
        name            text    NOT NULL COLLATE "C",
        type            text    COLLATE "C",
        status          text    NOT NULL,
        start_ns        bigint  NOT NULL,
        end_ns          bigint,
        model           text    COLLATE "C",
        model_provider  text    COLLATE "C",
        usage           json,
        input_cost      double precision,
        output_cost     double precision,
        total_cost      double precision,
        content         json    NOT NULL,
        CONSTRAINT span_pk PRIMARY KEY (trace, span_id),
        CONSTRAINT span_status_check CHECK (status IN ('UNSET', 'OK', 'ERROR'))
      );
      COMMENT ON COLUMN span.name IS 'its first 512 characters, because index entries must stay small; type likewise';
      COMMENT ON COLUMN span.usage IS 'tokens and cost as the span tells them, for totals over the whole tree';
      CREATE INDEX span_name_idx ON span (experiment, name, trace);
      CREATE INDEX span_type_idx ON span (experiment, type, trace);
      CREATE INDEX span_error_idx ON span (experiment, trace) WHERE status = 'ERROR';
      CREATE INDEX span_time_idx ON span (experiment, start_ns);

      CREATE TABLE assessment (
        trace          bigint      NOT NULL,
        assessment_id  text        NOT NULL COLLATE "C",
        experiment     integer     NOT NULL,
        kind           text        NOT NULL,
        name           text        NOT NULL COLLATE "C",
        value          json,
        number_value   double precision,
        error          json,
        source_type    text        NOT NULL,
        source_id      text,
        rationale      text,
        metadata       jsonb       NOT NULL,
        span_id        text,
        overrides      text        COLLATE "C",
        valid          boolean     NOT NULL,
        created_ms     bigint      NOT NULL,
        updated_ms     bigint      NOT NULL,
        CONSTRAINT assessment_pk PRIMARY KEY (trace, assessment_id),
        CONSTRAINT assessment_kind_check CHECK (kind IN ('feedback', 'expectation', 'issue'))
      );
      COMMENT ON COLUMN assessment.number_value IS 'the value as a number, where it is one, true, false, yes or no; for averages';
      CREATE INDEX assessment_name_idx ON assessment (experiment, kind, name, trace);

      -- By the id that clients give it: they send traces in the background, and link before these have arrived.
      CREATE TABLE trace_run (
        run       integer NOT NULL,
        trace_id  text    NOT NULL COLLATE "C",
        CONSTRAINT trace_run_pk PRIMARY KEY (run, trace_id)
      );
      CREATE INDEX trace_run_trace_idx ON trace_run (trace_id);

      -- By name and number, not by key: clients link before, or without, registering.
      CREATE TABLE trace_prompt (
        trace    bigint  NOT NULL,
        name     text    NOT NULL COLLATE "C",
        number   integer NOT NULL,
        CONSTRAINT trace_prompt_pk PRIMARY KEY (trace, name, number)
      );
      CREATE INDEX trace_prompt_prompt_idx ON trace_prompt (name, number, trace);

      CREATE TABLE evaluation_dataset (
        id            uuid        NOT NULL,
        workspace_id  uuid        NOT NULL,
        name          text        NOT NULL COLLATE "C",
        tags          jsonb       NOT NULL,
        schema        jsonb,
        record_count  integer     NOT NULL,
        digest        text        NOT NULL,
        created_at    timestamptz NOT NULL,
        created_by    text,
        updated_at    timestamptz NOT NULL,
        updated_by    text,
        CONSTRAINT evaluation_dataset_pk PRIMARY KEY (id),
        CONSTRAINT evaluation_dataset_workspace_fk FOREIGN KEY (workspace_id) REFERENCES workspace (id)
      );
      CREATE INDEX evaluation_dataset_created_idx ON evaluation_dataset (workspace_id, created_at DESC, id DESC);
      CREATE INDEX evaluation_dataset_name_idx ON evaluation_dataset (workspace_id, name);

      CREATE TABLE evaluation_dataset_experiment (
        dataset_id  uuid    NOT NULL,
        experiment  integer NOT NULL,
        CONSTRAINT evaluation_dataset_experiment_pk PRIMARY KEY (dataset_id, experiment),
        CONSTRAINT evaluation_dataset_experiment_dataset_fk FOREIGN KEY (dataset_id) REFERENCES evaluation_dataset (id) ON DELETE CASCADE,
        CONSTRAINT evaluation_dataset_experiment_experiment_fk FOREIGN KEY (experiment) REFERENCES experiment (serial)
      );
      CREATE INDEX evaluation_dataset_experiment_idx ON evaluation_dataset_experiment (experiment, dataset_id);

      -- json, not jsonb: 1.0 must not come back as 1.
      CREATE TABLE evaluation_dataset_record (
        id            uuid        NOT NULL,
        dataset_id    uuid        NOT NULL,
        input_digest  text        NOT NULL,
        inputs        json        NOT NULL,
        outputs       json,
        expectations  json,
        tags          json,
        source        json,
        created_at    timestamptz NOT NULL,
        created_by    text,
        updated_at    timestamptz NOT NULL,
        updated_by    text,
        CONSTRAINT evaluation_dataset_record_pk PRIMARY KEY (id),
        CONSTRAINT evaluation_dataset_record_dataset_fk FOREIGN KEY (dataset_id) REFERENCES evaluation_dataset (id) ON DELETE CASCADE,
        CONSTRAINT evaluation_dataset_record_input_key UNIQUE (dataset_id, input_digest)
      );
      COMMENT ON COLUMN evaluation_dataset_record.input_digest IS 'SHA-256 of the canonical JSON of inputs: the same inputs again update the record';
      CREATE INDEX evaluation_dataset_record_list_idx ON evaluation_dataset_record (dataset_id, id);

      -- Members of the second replace those of the first; numbers keep their digits, as in jsonb they would not.
      CREATE FUNCTION catena_json_merge(a json, b json) RETURNS json LANGUAGE sql IMMUTABLE AS $$
        SELECT CASE
          WHEN b IS NULL OR json_typeof(b) <> 'object' THEN a
          WHEN a IS NULL THEN b
          ELSE (SELECT coalesce(json_object_agg(key, value), '{}')
                  FROM (SELECT * FROM json_each(a) x WHERE x.key NOT IN (SELECT json_object_keys(b))
                        UNION ALL SELECT * FROM json_each(b)) AS merged)
        END
      $$;
      CREATE AGGREGATE catena_json_merge(json) (SFUNC = catena_json_merge, STYPE = json);

      CREATE TABLE scorer (
        id              uuid        NOT NULL,
        workspace_id    uuid        NOT NULL,
        experiment      integer     NOT NULL,
        name            text        NOT NULL COLLATE "C",
        latest_version  integer     NOT NULL,
        sample_rate     double precision,
        filter          text,
        CONSTRAINT scorer_pk PRIMARY KEY (id),
        CONSTRAINT scorer_workspace_fk FOREIGN KEY (workspace_id) REFERENCES workspace (id),
        CONSTRAINT scorer_experiment_fk FOREIGN KEY (experiment) REFERENCES experiment (serial),
        CONSTRAINT scorer_name_key UNIQUE (experiment, name),
        CONSTRAINT scorer_sample_rate_check CHECK (sample_rate BETWEEN 0 AND 1)
      );
      COMMENT ON COLUMN scorer.latest_version IS 'highest number ever given; numbers are not given twice';
      COMMENT ON COLUMN scorer.sample_rate IS 'share of new traces that it is to score online, NULL: not configured';

      CREATE TABLE scorer_version (
        scorer_id   uuid        NOT NULL,
        number      integer     NOT NULL,
        definition  text        NOT NULL,
        created_at  timestamptz NOT NULL,
        created_by  text        NOT NULL,
        CONSTRAINT scorer_version_pk PRIMARY KEY (scorer_id, number),
        CONSTRAINT scorer_version_scorer_fk FOREIGN KEY (scorer_id) REFERENCES scorer (id) ON DELETE CASCADE
      );
      CREATE TRIGGER scorer_version_guard BEFORE UPDATE ON scorer_version EXECUTE FUNCTION catena_refuse_change();
    `);
  }

  down(): Promise<void> {
    throw new Error('Migrations go forward only.');
  }
}
