import type { MigrationInterface, QueryRunner } from 'typeorm';

/** API keys, limits on what callers use, and the log of who changed them and why. */
export class Callers1795305600013 implements MigrationInterface {
  readonly name = 'Callers1795305600013';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE api_key (
        id            uuid        NOT NULL,
        workspace_id  uuid        NOT NULL,
        name          text        NOT NULL COLLATE "C",
        description   text,
        team          text        COLLATE "C",
        actions       text[]      NOT NULL,
        endpoints     text[],
        clearance     text        NOT NULL,
        expires_at    timestamptz,
        revoked_at    timestamptz,
        last_used_at  timestamptz,
        revision      integer     NOT NULL,
        created_at    timestamptz NOT NULL,
        created_by    text        NOT NULL,
        updated_at    timestamptz NOT NULL,
        CONSTRAINT api_key_pk PRIMARY KEY (id),
        CONSTRAINT api_key_workspace_fk FOREIGN KEY (workspace_id) REFERENCES workspace (id),
        CONSTRAINT api_key_name_key UNIQUE (workspace_id, name),
        CONSTRAINT api_key_actions_check CHECK (actions <@ ARRAY['resolve', 'invoke'] AND cardinality(actions) > 0),
        CONSTRAINT api_key_clearance_check CHECK (clearance IN ('public', 'internal', 'restricted'))
      );
      COMMENT ON COLUMN api_key.endpoints IS 'names of serving endpoints; null is all, also those to come';

      -- The secrets of a key: one, and for a while after a rotation the ones before. Only their SHA-256 is kept: they
      -- have 256 random bits, so that nothing slower would add anything.
      CREATE TABLE api_key_secret (
        id            uuid        NOT NULL,
        workspace_id  uuid        NOT NULL,
        api_key_id    uuid        NOT NULL,
        prefix        text        NOT NULL,
        digest        bytea       NOT NULL,
        expires_at    timestamptz,
        created_at    timestamptz NOT NULL,
        created_by    text        NOT NULL,
        CONSTRAINT api_key_secret_pk PRIMARY KEY (id),
        CONSTRAINT api_key_secret_api_key_fk FOREIGN KEY (api_key_id) REFERENCES api_key (id),
        CONSTRAINT api_key_secret_digest_key UNIQUE (digest),
        CONSTRAINT api_key_secret_digest_check CHECK (octet_length(digest) = 32)
      );
      CREATE INDEX api_key_secret_api_key_idx ON api_key_secret (api_key_id);

      CREATE TABLE usage_limit (
        id             uuid        NOT NULL,
        workspace_id   uuid        NOT NULL,
        name           text        NOT NULL COLLATE "C",
        target_kind    text        NOT NULL,
        target         text        NOT NULL COLLATE "C",
        metric         text        NOT NULL,
        time_window    text        NOT NULL,
        amount         bigint      NOT NULL,
        hard_stop      boolean     NOT NULL,
        alert_percent  smallint,
        revision       integer     NOT NULL,
        created_at     timestamptz NOT NULL,
        created_by     text        NOT NULL,
        updated_at     timestamptz NOT NULL,
        CONSTRAINT usage_limit_pk PRIMARY KEY (id),
        CONSTRAINT usage_limit_workspace_fk FOREIGN KEY (workspace_id) REFERENCES workspace (id),
        CONSTRAINT usage_limit_name_key UNIQUE (workspace_id, name),
        CONSTRAINT usage_limit_target_check CHECK (target_kind IN ('apiKey', 'endpoint', 'team', 'modelEndpoint')),
        CONSTRAINT usage_limit_metric_check CHECK (metric IN ('requests', 'tokens', 'costMicroUsd')),
        CONSTRAINT usage_limit_window_check CHECK (time_window IN ('second', 'minute', 'hour', 'day', 'month')),
        CONSTRAINT usage_limit_amount_check CHECK (amount >= 0),
        CONSTRAINT usage_limit_alert_check CHECK (alert_percent BETWEEN 1 AND 100)
      );
      COMMENT ON COLUMN usage_limit.time_window IS 'day and month: a budget of the UTC calendar; shorter: a token bucket';

      -- Who changed who may call, and why.
      CREATE TABLE access_event (
        id            uuid        NOT NULL,
        workspace_id  uuid        NOT NULL,
        noun          text        NOT NULL,
        noun_id       uuid        NOT NULL,
        action        text        NOT NULL,
        actor         text        NOT NULL,
        reason        text,
        detail        jsonb       NOT NULL,
        at            timestamptz NOT NULL,
        CONSTRAINT access_event_pk PRIMARY KEY (id),
        CONSTRAINT access_event_workspace_fk FOREIGN KEY (workspace_id) REFERENCES workspace (id),
        CONSTRAINT access_event_noun_check CHECK (noun IN ('api_key', 'usage_limit'))
      );
      CREATE INDEX access_event_noun_idx ON access_event (noun_id, id DESC);
      CREATE TRIGGER access_event_guard BEFORE UPDATE OR DELETE OR TRUNCATE ON access_event
        EXECUTE FUNCTION catena_refuse_change();
    `);
  }

  down(): Promise<void> {
    throw new Error('Migrations go forward only.');
  }
}
