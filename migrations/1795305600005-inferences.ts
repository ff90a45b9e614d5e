import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Inference rows: one per admitted request, partitioned by UTC day. */
export class Inferences1795305600005 implements MigrationInterface {
  readonly name = 'Inferences1795305600005';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE inference (
        id                 uuid        NOT NULL,
        started_at         timestamptz NOT NULL,
        workspace_id       uuid        NOT NULL,
        endpoint           text        NOT NULL COLLATE "C",
        split_revision     integer     NOT NULL,
        arm                text        NOT NULL,
        chain              text        NOT NULL COLLATE "C",
        chain_version      integer     NOT NULL,
        chain_digest       text        NOT NULL COLLATE "C",
        unit               text,
        bucket             smallint    NOT NULL,
        sticky             boolean     NOT NULL,
        assignment         text        NOT NULL,
        status             text        NOT NULL,
        error_code         text,
        error_message      text,
        model_endpoint     text,
        model              text,
        replica            text,
        attempts           smallint    NOT NULL,
        streamed           boolean     NOT NULL,
        finish_reason      text,
        schema_valid       boolean,
        input_tokens       integer,
        output_tokens      integer,
        cost_micro_usd     bigint,
        latency_ms         double precision,
        ttft_ms            double precision,
        metadata           text,
        request            text        NOT NULL,
        response           text,
        CONSTRAINT inference_pk PRIMARY KEY (id, started_at),
        CONSTRAINT inference_status_check CHECK (status IN ('ok', 'error', 'cancelled', 'interrupted')),
        CONSTRAINT inference_assignment_check CHECK (assignment IN ('split', 'override', 'random'))
      ) PARTITION BY RANGE (started_at);
      COMMENT ON COLUMN inference.request IS 'the body sent to the model endpoint, as sent';
      COMMENT ON COLUMN inference.response IS 'the body received; of a stream, its assembled final form';
      COMMENT ON COLUMN inference.status IS 'interrupted: the gateway died before the answer was complete';

      CREATE INDEX inference_time_idx ON inference (workspace_id, id DESC);
      CREATE INDEX inference_endpoint_idx ON inference (workspace_id, endpoint, id DESC);
      CREATE INDEX inference_chain_idx ON inference (workspace_id, chain, chain_version, id DESC);
      CREATE INDEX inference_unit_idx ON inference (workspace_id, unit, id DESC) WHERE unit IS NOT NULL;

      -- Creates the partition of a UTC day. Safe to call from many sessions at once.
      CREATE FUNCTION catena_ensure_inference_partition(day date) RETURNS void LANGUAGE plpgsql AS $$
      DECLARE partition text := 'inference_' || to_char(day, 'YYYYMMDD');
      BEGIN
        IF to_regclass(partition) IS NOT NULL THEN RETURN; END IF;
        PERFORM pg_advisory_xact_lock(hashtext('catena_inference_partition'));
        IF to_regclass(partition) IS NOT NULL THEN RETURN; END IF;
        EXECUTE format(
          'CREATE TABLE %I PARTITION OF inference FOR VALUES FROM (%L) TO (%L)',
          partition, day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC');
      END $$;
    `);
  }

  down(): Promise<void> {
    throw new Error('Migrations go forward only.');
  }
}
