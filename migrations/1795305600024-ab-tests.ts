import type { MigrationInterface, QueryRunner } from 'typeorm';

/** A/B tests, and what a follower adds up of the rows of their units. */
export class AbTests1795305600024 implements MigrationInterface {
  readonly name = 'AbTests1795305600024';

  async up(runner: QueryRunner): Promise<void> {
    const totals = `
          requests        integer NOT NULL,
          errors          integer NOT NULL,
          cancelled       integer NOT NULL,
          fallbacks       integer NOT NULL,
          schema_rows     integer NOT NULL,
          schema_valid    integer NOT NULL,
          guard_blocks    integer NOT NULL,
          latency_rows    integer NOT NULL,
          latency_us      bigint  NOT NULL,
          ttft_rows       integer NOT NULL,
          ttft_us         bigint  NOT NULL,
          cost_micro_usd  bigint  NOT NULL,
          input_tokens    bigint  NOT NULL,
          output_tokens   bigint  NOT NULL`;
    const sums = ['y', 'yy', 'd', 'dd', 'yd', 'x', 'xx', 'yx', 'dx', 'w', 'ww', 'yw', 'dw', 'xw'];
    await runner.query(`
      CREATE TABLE ab_test (
        id               uuid        NOT NULL,
        serial           integer     NOT NULL GENERATED ALWAYS AS IDENTITY,
        workspace_id     uuid        NOT NULL,
        endpoint_id      uuid        NOT NULL,
        hypothesis       text        NOT NULL,
        rules            jsonb       NOT NULL,
        factors          jsonb,
        metrics          text[]      NOT NULL,
        status           text        NOT NULL,
        created_at       timestamptz NOT NULL,
        created_by       text        NOT NULL,
        updated_at       timestamptz NOT NULL,
        started_at       timestamptz,
        started_by       text,
        started_arrival  bigint,
        first_revision   integer,
        covariate_units  integer,
        stopped_at       timestamptz,
        stopped_by       text,
        stop_reason      text,
        stopped_arrival  bigint,
        last_revision    integer,
        decision         text,
        decided_arm      text,
        decided_at       timestamptz,
        decided_by       text,
        decision_reason  text,
        CONSTRAINT ab_test_pk PRIMARY KEY (id),
        CONSTRAINT ab_test_serial_key UNIQUE (serial),
        CONSTRAINT ab_test_endpoint_fk FOREIGN KEY (endpoint_id) REFERENCES endpoint (id),
        CONSTRAINT ab_test_status_check CHECK (status IN ('draft', 'running', 'stopped')),
        CONSTRAINT ab_test_started_check CHECK (status = 'draft' OR (
          started_at IS NOT NULL AND started_by IS NOT NULL AND started_arrival IS NOT NULL AND first_revision IS NOT NULL)),
        CONSTRAINT ab_test_stopped_check CHECK ((status = 'stopped') = (
          stopped_at IS NOT NULL AND stopped_by IS NOT NULL AND stopped_arrival IS NOT NULL AND last_revision IS NOT NULL)),
        CONSTRAINT ab_test_decision_check CHECK (decision IN ('ship', 'roll_back')),
        CONSTRAINT ab_test_decided_check CHECK (decision IS NULL OR (
          status = 'stopped' AND decided_arm IS NOT NULL AND decided_at IS NOT NULL AND decided_by IS NOT NULL))
      );
      COMMENT ON COLUMN ab_test.serial IS 'what the tables of its units and sums know it by';
      COMMENT ON COLUMN ab_test.rules IS 'what it is judged by; fixed when it starts';
      COMMENT ON COLUMN ab_test.factors IS 'object: factors and their levels per arm, of a factorial test';
      COMMENT ON COLUMN ab_test.metrics IS 'names of all metrics of the rules';
      COMMENT ON COLUMN ab_test.started_arrival IS 'rows that arrived before do not count';
      COMMENT ON COLUMN ab_test.stopped_arrival IS 'rows that arrived later count only if they started before the stop';
      COMMENT ON COLUMN ab_test.first_revision IS 'its phases are the splits from this revision to last_revision';
      COMMENT ON COLUMN ab_test.covariate_units IS 'units that came before the start, too; null until these were added up';
      CREATE INDEX ab_test_endpoint_idx ON ab_test (endpoint_id, id DESC);
      CREATE UNIQUE INDEX ab_test_running_key ON ab_test (endpoint_id) WHERE status = 'running';

      CREATE TABLE ab_test_unit (
        test      integer NOT NULL,
        revision  integer NOT NULL,
        arm       text    NOT NULL COLLATE "C",
        unit      text    NOT NULL COLLATE "C",${totals},
        CONSTRAINT ab_test_unit_pk PRIMARY KEY (test, unit, revision, arm)
      ) WITH (fillfactor = 80);
      COMMENT ON COLUMN ab_test_unit.revision IS 'the phase: a split revision; 0 before the test started, for all arms';
      COMMENT ON COLUMN ab_test_unit.unit IS 'of a request without one, its inference id';

      CREATE TABLE ab_test_exposure (
        test         integer NOT NULL,
        revision     integer NOT NULL,
        arm          text    NOT NULL COLLATE "C",
        units        bigint  NOT NULL,
        newcomers    bigint  NOT NULL,
        requests     bigint  NOT NULL,
        without_unit bigint  NOT NULL,
        errors       bigint  NOT NULL,
        interrupted  bigint  NOT NULL,
        overrides    bigint  NOT NULL,
        shadows      bigint  NOT NULL,
        CONSTRAINT ab_test_exposure_pk PRIMARY KEY (test, revision, arm)
      ) WITH (fillfactor = 50);
      COMMENT ON COLUMN ab_test_exposure.newcomers IS 'of the units, those that no earlier phase has seen';
      COMMENT ON COLUMN ab_test_exposure.without_unit IS 'of the requests, those that are units of their own';
      COMMENT ON COLUMN ab_test_exposure.overrides IS 'rows that do not count because their unit was pinned to the arm';
      COMMENT ON COLUMN ab_test_exposure.shadows IS 'rows that do not count because they are copies';

      CREATE TABLE ab_test_sums (
        test      integer NOT NULL,
        revision  integer NOT NULL,
        arm       text    NOT NULL COLLATE "C",
        metric    text    NOT NULL COLLATE "C",
        units     bigint  NOT NULL,
        ${sums.map((name) => `${name} numeric NOT NULL`).join(', ')},
        CONSTRAINT ab_test_sums_pk PRIMARY KEY (test, revision, arm, metric)
      ) WITH (fillfactor = 50);
      COMMENT ON TABLE ab_test_sums IS
        'sums over units: y the metric, d its denominator, x and w the same before the test, and their products';

      CREATE TABLE ab_test_histogram (
        test        integer    NOT NULL,
        revision    integer    NOT NULL,
        arm         text       NOT NULL COLLATE "C",
        fact        text       NOT NULL COLLATE "C",
        unit_group  smallint   NOT NULL,
        bins        smallint[] NOT NULL,
        requests    bigint[]   NOT NULL,
        CONSTRAINT ab_test_histogram_pk PRIMARY KEY (test, revision, arm, fact, unit_group)
      ) WITH (fillfactor = 50);
      COMMENT ON COLUMN ab_test_histogram.unit_group IS 'hash of the unit, 0 to 63: requests of one unit are in one group';
      COMMENT ON COLUMN ab_test_histogram.requests IS 'how many are in each of the bins';

      CREATE TABLE ab_test_judgement (
        test          integer NOT NULL,
        name          text    NOT NULL COLLATE "C",
        inference_id  uuid    NOT NULL,
        revision      integer NOT NULL,
        arm           text    NOT NULL COLLATE "C",
        unit          text    NOT NULL COLLATE "C",
        judged        integer NOT NULL,
        total         numeric NOT NULL,
        positives     integer NOT NULL,
        CONSTRAINT ab_test_judgement_pk PRIMARY KEY (test, name, inference_id)
      ) WITH (fillfactor = 80);
      COMMENT ON TABLE ab_test_judgement IS 'feedback on the requests of a test, as it is in the sums';
      COMMENT ON COLUMN ab_test_judgement.judged IS 'latest values: one, or that of the request and that of its unit';
      CREATE INDEX ab_test_judgement_unit_idx ON ab_test_judgement (test, name, unit);
    `);
  }

  down(): Promise<void> {
    throw new Error('Migrations go forward only.');
  }
}
