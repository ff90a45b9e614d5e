import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Judgements on inferences, now or much later, and what they were matched with. */
export class Feedback1795305600023 implements MigrationInterface {
  readonly name = 'Feedback1795305600023';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      -- The time inside a UUIDv7, to the millisecond: names the partition of an inference.
      CREATE FUNCTION catena_uuid_time(id uuid) RETURNS timestamptz LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
        SELECT timestamptz '1970-01-01T00:00:00Z'
             + ('x' || lpad(translate(left(id::text, 13), '-', ''), 16, '0'))::bit(64)::bigint * interval '1 millisecond'
      $$;

      -- Above all UUIDv7 of this time, below those of the next millisecond.
      CREATE FUNCTION catena_last_uuid_at(at timestamptz) RETURNS uuid LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
        SELECT (lpad(to_hex(floor(extract(epoch FROM at) * 1000)::bigint), 12, '0') || repeat('f', 20))::uuid
      $$;

      CREATE TABLE feedback (
        id                    uuid        NOT NULL,
        workspace_id          uuid        NOT NULL,
        event_id              text        NOT NULL COLLATE "C",
        inference_id          uuid,
        client_request_id     text,
        unit                  text,
        endpoint              text        COLLATE "C",
        name                  text        NOT NULL COLLATE "C",
        kind                  text        NOT NULL,
        number_value          double precision,
        text_value            text,
        source                text        NOT NULL,
        source_id             text,
        comment               text,
        metadata              jsonb,
        given_at              timestamptz NOT NULL,
        received_at           timestamptz NOT NULL,
        arrived               bigint      NOT NULL DEFAULT catena_arrival(),
        matched_inference_id  uuid,
        matched_started_at    timestamptz,
        matched_endpoint      text        COLLATE "C",
        matched_unit          text,
        split_revision        integer,
        arm                   text,
        chain                 text        COLLATE "C",
        chain_version         integer,
        latest                boolean,
        subject               text        NOT NULL COLLATE "C" GENERATED ALWAYS AS (CASE
          WHEN unit IS NOT NULL THEN 'unit:' || coalesce(matched_endpoint, endpoint, '') || ':' || unit
          WHEN matched_inference_id IS NOT NULL THEN 'inference:' || matched_inference_id::text
          WHEN inference_id IS NOT NULL THEN 'inference:' || coalesce(endpoint || ':', '') || inference_id::text
          ELSE 'request:' || coalesce(endpoint, '') || ':' || client_request_id
        END) STORED,
        CONSTRAINT feedback_pk PRIMARY KEY (id),
        CONSTRAINT feedback_workspace_fk FOREIGN KEY (workspace_id) REFERENCES workspace (id),
        CONSTRAINT feedback_event_key UNIQUE (workspace_id, event_id),
        CONSTRAINT feedback_target_check CHECK (num_nonnulls(inference_id, client_request_id, unit) = 1),
        CONSTRAINT feedback_kind_check CHECK (kind IN ('boolean', 'number', 'category', 'text', 'correction')),
        CONSTRAINT feedback_value_check CHECK (
          CASE WHEN kind IN ('boolean', 'number') THEN number_value IS NOT NULL AND text_value IS NULL
               ELSE number_value IS NULL AND text_value IS NOT NULL END),
        CONSTRAINT feedback_source_check CHECK (source IN ('human', 'code', 'llm_judge'))
        -- Room for what is decided about an event, in the page where it lies: no index says it.
      ) WITH (fillfactor = 80);
      COMMENT ON TABLE feedback IS 'every judgement ever received; the same event once';
      COMMENT ON COLUMN feedback.unit IS 'of the collation of inference.unit, as client_request_id is: their indexes serve no other';
      COMMENT ON COLUMN feedback.endpoint IS 'matches inferences of this endpoint only; null: of any';
      COMMENT ON COLUMN feedback.number_value IS 'of a boolean, 0 or 1';
      COMMENT ON COLUMN feedback.given_at IS 'when it was given, by whoever gave it';
      COMMENT ON COLUMN feedback.matched_inference_id IS 'null until the row is there; of a unit, its last inference begun before given_at';
      COMMENT ON COLUMN feedback.subject IS 'what it is about, as far as is known; one inference has one subject, however it was named';
      COMMENT ON COLUMN feedback.latest IS 'whether it counts: of one subject and name, the greatest (given_at, event_id); null until it was looked at';
      CREATE INDEX feedback_arrived_idx ON feedback (arrived);
      CREATE INDEX feedback_time_idx ON feedback (workspace_id, id DESC);
      CREATE INDEX feedback_subject_idx ON feedback (workspace_id, subject, name, given_at DESC, event_id DESC);
      CREATE INDEX feedback_inference_idx ON feedback (workspace_id, inference_id) WHERE inference_id IS NOT NULL;
      CREATE INDEX feedback_client_request_idx ON feedback (workspace_id, client_request_id, coalesce(endpoint, ''), given_at)
        WHERE client_request_id IS NOT NULL;
      CREATE INDEX feedback_unit_idx ON feedback (workspace_id, unit, coalesce(endpoint, ''), given_at) WHERE unit IS NOT NULL;
      -- Of those without a row, or with one begun after they were given: what a row can improve whenever they were given.
      CREATE INDEX feedback_client_request_open_idx
        ON feedback (workspace_id, client_request_id, coalesce(endpoint, ''), coalesce(matched_started_at, 'infinity'))
        WHERE client_request_id IS NOT NULL AND coalesce(matched_started_at, 'infinity') > given_at;
      CREATE INDEX feedback_unit_open_idx
        ON feedback (workspace_id, unit, coalesce(endpoint, ''), coalesce(matched_started_at, 'infinity'))
        WHERE unit IS NOT NULL AND coalesce(matched_started_at, 'infinity') > given_at;
      CREATE INDEX feedback_matched_idx ON feedback (workspace_id, matched_endpoint, matched_started_at)
        WHERE matched_inference_id IS NOT NULL;
      CREATE INDEX feedback_matched_unit_idx ON feedback (workspace_id, matched_unit, matched_endpoint)
        WHERE matched_unit IS NOT NULL;
      CREATE INDEX feedback_unmatched_idx ON feedback (workspace_id, id DESC) WHERE matched_inference_id IS NULL;
      CREATE TRIGGER feedback_guard BEFORE TRUNCATE OR UPDATE OF
          id, workspace_id, event_id, inference_id, client_request_id, unit, endpoint, name, kind, number_value,
          text_value, source, source_id, comment, metadata, given_at, received_at ON feedback
        EXECUTE FUNCTION catena_refuse_change();

      -- What followers that sum up judgements go by: about which inferences there are other ones now.
      CREATE TABLE feedback_change (
        arrived       bigint       NOT NULL DEFAULT catena_arrival(),
        workspace_id  uuid         NOT NULL,
        endpoint      text         NOT NULL COLLATE "C",
        unit          text,
        inference_id  uuid         NOT NULL,
        started_at    timestamptz  NOT NULL
      );
      COMMENT ON TABLE feedback_change IS 'an entry for each inference whose judgements that count have changed, and for the one they were matched with before';
      CREATE INDEX feedback_change_arrived_idx ON feedback_change (arrived);
    `);
  }

  down(): Promise<void> {
    throw new Error('Migrations go forward only.');
  }
}
