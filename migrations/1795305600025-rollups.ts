import type { MigrationInterface, QueryRunner } from 'typeorm';

/** What followers go by where a database was restored; figures per minute. */
export class Rollups1795305600025 implements MigrationInterface {
  readonly name = 'Rollups1795305600025';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE FUNCTION catena_arrival_offset() RETURNS bigint LANGUAGE sql IMMUTABLE AS $$ SELECT 0::bigint $$;
      COMMENT ON FUNCTION catena_arrival_offset() IS
        'added to transaction ids: above 0 where the database was restored on a server whose ids are lower';
      CREATE OR REPLACE FUNCTION catena_arrival() RETURNS bigint LANGUAGE sql VOLATILE AS
        $$ SELECT pg_current_xact_id()::text::bigint + catena_arrival_offset() $$;

      ALTER TABLE follower ADD COLUMN source text NOT NULL DEFAULT 'inference', ADD COLUMN restored boolean NOT NULL DEFAULT false;
      COMMENT ON COLUMN follower.source IS 'the table it follows';
      COMMENT ON COLUMN follower.restored IS 'the server was seen below position: until arrivals are rebased it stands still, wherever the server is by then';

      -- After a restore: lets arrivals go on above all that there were. To be run while nothing writes rows.
      CREATE FUNCTION catena_rebase_arrivals() RETURNS bigint LANGUAGE plpgsql AS $$
      DECLARE highest bigint;
      BEGIN
        SELECT greatest(catena_arrival_offset(), (SELECT max(position) FROM follower),
          (SELECT max(arrived) FROM inference), (SELECT max(arrived) FROM feedback), (SELECT max(arrived) FROM feedback_change),
          (SELECT max(arrived_to) FROM archive_day), (SELECT max(closing_to) FROM archive_day),
          (SELECT max(started_arrival) FROM ab_test), (SELECT max(stopped_arrival) FROM ab_test)) INTO highest;
        EXECUTE format(
          'CREATE OR REPLACE FUNCTION catena_arrival_offset() RETURNS bigint LANGUAGE sql IMMUTABLE AS $f$ SELECT %s::bigint $f$',
          highest);
        UPDATE follower SET restored = false WHERE restored;
        RETURN highest;
      END $$;

      -- Sums of inferences per minute, and the same per hour. No row comes to them but through their follower.
      CREATE TABLE inference_minute (
        workspace_id         uuid        NOT NULL,
        endpoint             text        NOT NULL COLLATE "C",
        starts_at            timestamptz NOT NULL,
        split_revision       integer     NOT NULL,
        arm                  text        NOT NULL,
        chain                text        NOT NULL COLLATE "C",
        chain_version        integer     NOT NULL,
        shadow               boolean     NOT NULL,
        model_endpoint       text        NOT NULL,
        model                text        NOT NULL,
        requests             bigint      NOT NULL,
        ok                   bigint      NOT NULL,
        errors               bigint      NOT NULL,
        cancelled            bigint      NOT NULL,
        interrupted          bigint      NOT NULL,
        cache_hits           bigint      NOT NULL,
        fallbacks            bigint      NOT NULL,
        attempts             bigint      NOT NULL,
        schema_rows          bigint      NOT NULL,
        schema_valid         bigint      NOT NULL,
        input_tokens         bigint      NOT NULL,
        cached_input_tokens  bigint      NOT NULL,
        output_tokens        bigint      NOT NULL,
        cost_micro_usd       bigint      NOT NULL,
        latency_rows         bigint      NOT NULL,
        latency_us           bigint      NOT NULL,
        latency_bins         bigint[]    NOT NULL,
        ttft_rows            bigint      NOT NULL,
        ttft_us              bigint      NOT NULL,
        ttft_bins            bigint[]    NOT NULL,
        CONSTRAINT inference_minute_pk PRIMARY KEY (
          workspace_id, endpoint, starts_at, split_revision, arm, chain, chain_version, shadow, model_endpoint, model)
      ) PARTITION BY RANGE (starts_at);
      COMMENT ON TABLE inference_minute IS 'what inference rows add up to; nobody else writes it than its follower';
      COMMENT ON COLUMN inference_minute.model_endpoint IS 'empty where no model call was made; so is model';
      COMMENT ON COLUMN inference_minute.errors IS 'without interrupted ones';
      COMMENT ON COLUMN inference_minute.latency_rows IS 'times are those of requests that a model answered';
      COMMENT ON COLUMN inference_minute.latency_bins IS 'histogram: elements count * 1024 + bin, by bin';

      CREATE TABLE inference_hour (LIKE inference_minute INCLUDING COMMENTS, CONSTRAINT inference_hour_pk PRIMARY KEY (
        workspace_id, endpoint, starts_at, split_revision, arm, chain, chain_version, shadow, model_endpoint, model)
      ) PARTITION BY RANGE (starts_at);
      COMMENT ON TABLE inference_hour IS 'the same per hour, for long ranges';

      -- Adds up histograms; elements of one bin may stand there several times.
      CREATE FUNCTION catena_merge_bins(a bigint[], b bigint[]) RETURNS bigint[] LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
        SELECT coalesce(array_agg(rows * 1024 + bin ORDER BY bin), '{}')
          FROM (SELECT element % 1024 AS bin, sum(element / 1024)::bigint AS rows FROM unnest(a || b) element GROUP BY 1) bins
      $$;

      -- Creates the partitions of a UTC month. Safe to call from many sessions at once.
      CREATE FUNCTION catena_ensure_sums_partition(month date) RETURNS void LANGUAGE plpgsql AS $$
      DECLARE
        parent  text;
        suffix  text := to_char(month, '_YYYYMM');
      BEGIN
        IF to_regclass('inference_minute' || suffix) IS NOT NULL AND to_regclass('inference_hour' || suffix) IS NOT NULL
          THEN RETURN; END IF;
        PERFORM pg_advisory_xact_lock(hashtext('catena_sums_partition'));
        FOREACH parent IN ARRAY ARRAY['inference_minute', 'inference_hour'] LOOP
          CONTINUE WHEN to_regclass(parent || suffix) IS NOT NULL;
          EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)', parent || suffix, parent,
            date_trunc('month', month::timestamp) AT TIME ZONE 'UTC',
            (date_trunc('month', month::timestamp) + interval '1 month') AT TIME ZONE 'UTC');
        END LOOP;
      END $$;
    `);
  }

  down(): Promise<void> {
    throw new Error('Migrations go forward only.');
  }
}
