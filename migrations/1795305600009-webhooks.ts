import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Webhooks, and the outbox from which their events are delivered (docs/adr/0011-webhook-outbox.md); and what `gc`
 * and `import` have to remember between their steps.
 */
export class Webhooks1795305600009 implements MigrationInterface {
  readonly name = 'Webhooks1795305600009';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE webhook (
        id                 uuid        NOT NULL,
        workspace_id       uuid        NOT NULL,
        name               text        NOT NULL,
        description        text,
        url                text        NOT NULL,
        events             text[]      NOT NULL,
        status             text        NOT NULL,
        secret_ciphertext  bytea,
        secret_key_id      text,
        revision           integer     NOT NULL,
        created_at         timestamptz NOT NULL,
        created_by         text        NOT NULL,
        updated_at         timestamptz NOT NULL,
        CONSTRAINT webhook_pk PRIMARY KEY (id),
        CONSTRAINT webhook_workspace_fk FOREIGN KEY (workspace_id) REFERENCES workspace (id),
        CONSTRAINT webhook_status_check CHECK (status IN ('ACTIVE', 'DISABLED')),
        CONSTRAINT webhook_events_check CHECK (cardinality(events) > 0),
        CONSTRAINT webhook_secret_check CHECK ((secret_ciphertext IS NULL) = (secret_key_id IS NULL))
      );
      CREATE INDEX webhook_workspace_idx ON webhook (workspace_id, id DESC);

      -- Written in the transaction of the change, and only where a webhook wants it.
      CREATE TABLE webhook_event (
        id            uuid        NOT NULL,
        workspace_id  uuid        NOT NULL,
        type          text        NOT NULL,
        body          text        NOT NULL,
        at            timestamptz NOT NULL,
        CONSTRAINT webhook_event_pk PRIMARY KEY (id),
        CONSTRAINT webhook_event_workspace_fk FOREIGN KEY (workspace_id) REFERENCES workspace (id)
      );
      COMMENT ON COLUMN webhook_event.body IS 'the bytes that are sent and signed';
      CREATE INDEX webhook_event_at_idx ON webhook_event (at);
      CREATE TRIGGER webhook_event_guard BEFORE UPDATE ON webhook_event EXECUTE FUNCTION catena_refuse_change();

      CREATE TABLE webhook_delivery (
        id               uuid        NOT NULL,
        workspace_id     uuid        NOT NULL,
        webhook_id       uuid        NOT NULL,
        event_id         uuid        NOT NULL,
        seq              bigint      GENERATED ALWAYS AS IDENTITY,
        status           text        NOT NULL,
        attempts         integer     NOT NULL,
        round_attempts   integer     NOT NULL,
        next_attempt_at  timestamptz,
        created_at       timestamptz NOT NULL,
        finished_at      timestamptz,
        CONSTRAINT webhook_delivery_pk PRIMARY KEY (id),
        CONSTRAINT webhook_delivery_webhook_fk FOREIGN KEY (webhook_id) REFERENCES webhook (id) ON DELETE CASCADE,
        CONSTRAINT webhook_delivery_event_fk FOREIGN KEY (event_id) REFERENCES webhook_event (id),
        CONSTRAINT webhook_delivery_status_check CHECK (status IN ('PENDING', 'DELIVERED', 'FAILED')),
        CONSTRAINT webhook_delivery_pending_check CHECK ((status = 'PENDING') = (next_attempt_at IS NOT NULL)),
        CONSTRAINT webhook_delivery_finished_check CHECK ((status = 'PENDING') = (finished_at IS NULL))
      );
      COMMENT ON COLUMN webhook_delivery.seq IS 'order of delivery inside a webhook';
      COMMENT ON COLUMN webhook_delivery.round_attempts IS 'since the event, or since it was last asked for again';
      COMMENT ON COLUMN webhook_delivery.next_attempt_at IS 'while an attempt is under way: when it counts as lost';
      CREATE INDEX webhook_delivery_pending_idx ON webhook_delivery (webhook_id, seq) WHERE status = 'PENDING';
      CREATE INDEX webhook_delivery_log_idx ON webhook_delivery (webhook_id, id DESC);
      CREATE INDEX webhook_delivery_event_idx ON webhook_delivery (event_id);

      CREATE TABLE webhook_attempt (
        delivery_id       uuid        NOT NULL,
        number            integer     NOT NULL,
        workspace_id      uuid        NOT NULL,
        started_at        timestamptz NOT NULL,
        duration_ms       integer     NOT NULL,
        response_status   integer,
        response_excerpt  text,
        error             text,
        CONSTRAINT webhook_attempt_pk PRIMARY KEY (delivery_id, number),
        CONSTRAINT webhook_attempt_delivery_fk FOREIGN KEY (delivery_id) REFERENCES webhook_delivery (id) ON DELETE CASCADE
      );
      CREATE TRIGGER webhook_attempt_guard BEFORE UPDATE ON webhook_attempt EXECUTE FUNCTION catena_refuse_change();

      -- Runs that gc has removed and whose volume rows (metric, param, …) it still has to: they name runs by serial,
      -- without foreign keys, so a run goes in one short transaction and its millions of rows afterwards.
      CREATE TABLE removed_run (
        serial        integer     NOT NULL,
        workspace_id  uuid        NOT NULL,
        removed_at    timestamptz NOT NULL,
        CONSTRAINT removed_run_pk PRIMARY KEY (serial),
        CONSTRAINT removed_run_workspace_fk FOREIGN KEY (workspace_id) REFERENCES workspace (id)
      );

      -- What catena import has brought from where, so that it can go on, and be run again.
      CREATE TABLE import_record (
        workspace_id  uuid        NOT NULL,
        source        text        NOT NULL,
        noun          text        NOT NULL,
        source_id     text        NOT NULL,
        target_id     uuid        NOT NULL,
        fingerprint   text,
        imported_at   timestamptz NOT NULL,
        CONSTRAINT import_record_pk PRIMARY KEY (workspace_id, source, noun, source_id),
        CONSTRAINT import_record_workspace_fk FOREIGN KEY (workspace_id) REFERENCES workspace (id)
      );
      COMMENT ON COLUMN import_record.fingerprint IS 'of what the source held, once all of it is here';
    `);
  }

  down(): Promise<void> {
    throw new Error('Migrations go forward only.');
  }
}
