import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Ramps and adaptive tests: what moves an A/B test's split by itself, and every move it made. */
export class AbTestSteering1795305600026 implements MigrationInterface {
  readonly name = 'AbTestSteering1795305600026';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE ab_test_steering (
        ab_test_id    uuid        NOT NULL,
        workspace_id  uuid        NOT NULL,
        mode          text        NOT NULL,
        settings      jsonb       NOT NULL,
        state         text        NOT NULL,
        step          integer     NOT NULL,
        since         timestamptz NOT NULL,
        revision      integer,
        dropped       text[]      NOT NULL,
        alarms        text[]      NOT NULL,
        acknowledged  text[]      NOT NULL,
        note          text        NOT NULL,
        version       integer     NOT NULL,
        looked_at     timestamptz,
        updated_at    timestamptz NOT NULL,
        updated_by    text        NOT NULL,
        CONSTRAINT ab_test_steering_pk PRIMARY KEY (ab_test_id),
        CONSTRAINT ab_test_steering_test_fk FOREIGN KEY (ab_test_id) REFERENCES ab_test (id),
        CONSTRAINT ab_test_steering_mode_check CHECK (mode IN ('ramp', 'adaptive')),
        CONSTRAINT ab_test_steering_state_check CHECK (state IN ('going', 'paused', 'ended')),
        CONSTRAINT ab_test_steering_step_check CHECK (step >= -1)
      );
      COMMENT ON COLUMN ab_test_steering.step IS 'of a ramp, index of the step in force, else how often the weights changed; -1 before the first';
      COMMENT ON COLUMN ab_test_steering.since IS 'when the step began';
      COMMENT ON COLUMN ab_test_steering.revision IS 'the split it set or took over; when another one is in force, somebody else moved';
      COMMENT ON COLUMN ab_test_steering.dropped IS 'treatments that did harm and get no units any more';
      COMMENT ON COLUMN ab_test_steering.alarms IS 'what it paused for, until it is resumed';
      COMMENT ON COLUMN ab_test_steering.acknowledged IS 'alarms it was resumed in spite of; they do not pause it again';
      COMMENT ON COLUMN ab_test_steering.note IS 'what it waits for, or why it paused or ended';
      COMMENT ON COLUMN ab_test_steering.version IS 'grows with every change but looked_at and note';
      CREATE INDEX ab_test_steering_look_idx ON ab_test_steering (looked_at NULLS FIRST) WHERE state <> 'ended';

      CREATE TABLE ab_test_move (
        id            uuid        NOT NULL,
        workspace_id  uuid        NOT NULL,
        ab_test_id    uuid        NOT NULL,
        at            timestamptz NOT NULL,
        action        text        NOT NULL,
        step          integer     NOT NULL,
        revision      integer,
        weights       jsonb,
        reason        text        NOT NULL,
        actor         text        NOT NULL,
        CONSTRAINT ab_test_move_pk PRIMARY KEY (id),
        CONSTRAINT ab_test_move_test_fk FOREIGN KEY (ab_test_id) REFERENCES ab_test (id)
      );
      COMMENT ON COLUMN ab_test_move.revision IS 'the split it made, if it made one';
      COMMENT ON COLUMN ab_test_move.weights IS 'list of {arm, weightBps}';
      CREATE INDEX ab_test_move_test_idx ON ab_test_move (ab_test_id, id DESC);
    `);
  }

  down(): Promise<void> {
    throw new Error('Migrations go forward only.');
  }
}
