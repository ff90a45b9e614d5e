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
        ADD COLUMN model_calls        jsonb,
        ADD COLUMN arrived            bigint NOT NULL DEFAULT 0;
      ALTER TABLE inference ALTER COLUMN arrived SET DEFAULT catena_arrival();
      COMMENT ON COLUMN inference.client_request_id IS 'the caller''s own name for the request';
      COMMENT ON COLUMN inference.dispatched_ms IS 'from admission to the first model call';
      COMMENT ON COLUMN inference.model_calls IS 'list of model calls; null where there was one, which the row itself describes';
      CREATE INDEX inference_arrived_idx ON inference (arrived);
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
    `);
  }

  down(): Promise<void> {
    throw new Error('Migrations go forward only.');
  }
}
