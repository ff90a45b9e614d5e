import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Payloads apart from metadata, each with its own retention; upstream calls; and the order in which rows arrived. */
export class Volume1795305600021 implements MigrationInterface {
  readonly name = 'Volume1795305600021';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      -- The transaction a row came with. Below the oldest transaction still running nothing more arrives: what followers go by.
      CREATE FUNCTION catena_arrival() RETURNS bigint LANGUAGE sql VOLATILE AS
        $$ SELECT pg_current_xact_id()::text::bigint $$;

      CREATE TABLE follower (
        name        text        NOT NULL,
        position    bigint      NOT NULL,
        updated_at  timestamptz NOT NULL,
        CONSTRAINT follower_pk PRIMARY KEY (name)
      );
      COMMENT ON TABLE follower IS 'how far each follower of arrivals has come, over all workspaces';
      COMMENT ON COLUMN follower.position IS 'everything that arrived below is dealt with';

      ALTER TABLE inference
        ADD COLUMN client_request_id  text,
        ADD COLUMN dispatched_ms      double precision,
        ADD COLUMN model_calls        jsonb;
      COMMENT ON COLUMN inference.client_request_id IS 'the caller''s own name for the request';
      COMMENT ON COLUMN inference.dispatched_ms IS 'from admission to the first model call';
      COMMENT ON COLUMN inference.model_calls IS 'list of model calls; null where there was one, which the row itself describes';
      CREATE INDEX inference_client_request_idx ON inference (workspace_id, client_request_id, id DESC)
        WHERE client_request_id IS NOT NULL;

      CREATE TABLE inference_payload (
        id               uuid        NOT NULL,
        started_at       timestamptz NOT NULL,
        workspace_id     uuid        NOT NULL,
        metadata         text,
        request          text,
        response         text,
        request_digest   text COLLATE "C",
        response_digest  text COLLATE "C",
        CONSTRAINT inference_payload_pk PRIMARY KEY (id, started_at)
      ) PARTITION BY RANGE (started_at);
      COMMENT ON COLUMN inference_payload.request IS 'the body sent to the model endpoint, as sent';
      COMMENT ON COLUMN inference_payload.response IS 'the body received; of a stream, its assembled final form';
      COMMENT ON COLUMN inference_payload.request_digest IS 'SHA-256 of a body that lies in the object store';
      -- What may be moved to the object store; 8192 is the least CATENA_PAYLOAD_INLINE_BYTES.
      CREATE INDEX inference_payload_large_idx
        ON inference_payload (greatest(octet_length(request), octet_length(response)))
        WHERE greatest(octet_length(request), octet_length(response)) > 8192;

      -- Creates the partitions of a UTC day. Safe to call from many sessions at once.
      CREATE OR REPLACE FUNCTION catena_ensure_inference_partition(day date) RETURNS void LANGUAGE plpgsql AS $$
      DECLARE
        parent    text;
        suffix    text := to_char(day, '_YYYYMMDD');
      BEGIN
        IF to_regclass('inference' || suffix) IS NOT NULL AND to_regclass('inference_payload' || suffix) IS NOT NULL
          THEN RETURN; END IF;
        PERFORM pg_advisory_xact_lock(hashtext('catena_inference_partition'));
        FOREACH parent IN ARRAY ARRAY['inference', 'inference_payload'] LOOP
          CONTINUE WHEN to_regclass(parent || suffix) IS NOT NULL;
          EXECUTE format(
            'CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)',
            parent || suffix, parent, day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC');
        END LOOP;
      END $$;

      -- The bodies of the rows there are.
      SELECT catena_ensure_inference_partition(to_date(right(inhrelid::regclass::text, 8), 'YYYYMMDD'))
        FROM pg_inherits WHERE inhparent = 'inference'::regclass;
      INSERT INTO inference_payload (id, started_at, workspace_id, metadata, request, response)
        SELECT id, started_at, workspace_id, metadata, request, response FROM inference;
      -- Gives their old place free, for the default that differs from row to row has partitions written anew. Followers
      -- never divide what arrived together, so these rows are told to have come in transactions of 5000, all of them over.
      CREATE SEQUENCE inference_before MINVALUE 0;
      ALTER TABLE inference
        DROP COLUMN metadata, DROP COLUMN request, DROP COLUMN response,
        ADD COLUMN arrived bigint NOT NULL
          DEFAULT least(nextval('inference_before') / 5000, pg_current_xact_id()::text::bigint - 1);
      ALTER TABLE inference ALTER COLUMN arrived SET DEFAULT catena_arrival();
      DROP SEQUENCE inference_before;
      CREATE INDEX inference_arrived_idx ON inference (arrived);

      -- One row per call of a model endpoint.
      CREATE VIEW model_call AS
        SELECT workspace_id, id AS inference_id, started_at, attempts AS position, 'ask' AS step,
               model_endpoint, model, replica,
               CASE WHEN status <> 'error' THEN status
                    WHEN contract_outcome IN ('violated', 'truncated') THEN 'rejected' ELSE 'failed' END AS outcome,
               NULL::integer AS http_status, error_code, input_tokens, output_tokens, cost_micro_usd,
               dispatched_ms AS offset_ms, latency_ms - dispatched_ms AS latency_ms, ttft_ms - dispatched_ms AS ttft_ms, arrived
          FROM inference WHERE attempts > 0 AND model_calls IS NULL
        UNION ALL
        SELECT workspace_id, id, started_at, call.position::smallint, call.step,
               call."modelEndpoint", call.model, call.replica,
               call.outcome, call."httpStatus", call."errorCode", call."inputTokens", call."outputTokens",
               call."costMicroUsd", call."offsetMs", call."latencyMs", call."ttftMs", arrived
          FROM inference,
               ROWS FROM (jsonb_to_recordset(model_calls) AS (
                 step text, "modelEndpoint" text, model text, replica text, outcome text, "httpStatus" integer,
                 "errorCode" text, "inputTokens" integer, "outputTokens" integer, "costMicroUsd" bigint,
                 "offsetMs" double precision, "latencyMs" double precision, "ttftMs" double precision))
               WITH ORDINALITY AS call (
                 step, "modelEndpoint", model, replica, outcome, "httpStatus", "errorCode", "inputTokens", "outputTokens",
                 "costMicroUsd", "offsetMs", "latencyMs", "ttftMs", position)
         WHERE model_calls IS NOT NULL;
    `);
  }

  down(): Promise<void> {
    throw new Error('Migrations go forward only.');
  }
}
