import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * When each run, or anything it logged, was last changed, as the number of the transaction: what processes remember of
 * runs is right as long as that is the same. Kept by triggers, so that no writer can forget it. The row is also the lock
 * of the run's volume: who writes to several tables, or to several runs, locks it first (runs in order).
 */
export class RunChange1795305600011 implements MigrationInterface {
  readonly name = 'RunChange1795305600011';

  async up(runner: QueryRunner): Promise<void> {
    // Room on each page for the next version of its rows, which then costs no entry in an index.
    await runner.query(`
      CREATE TABLE run_change (
        run         integer NOT NULL,
        experiment  integer NOT NULL,
        changed     xid8    NOT NULL,
        labelled    xid8    NOT NULL,
        CONSTRAINT run_change_pk PRIMARY KEY (run)
      ) WITH (fillfactor = 70);
      COMMENT ON COLUMN run_change.changed IS 'the transaction that last changed the run or anything it logged';
      COMMENT ON COLUMN run_change.labelled IS 'the transaction that last changed its params or tags';

      CREATE FUNCTION catena_run_made() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        INSERT INTO run_change (run, experiment, changed, labelled)
        SELECT serial, experiment_serial, pg_current_xact_id(), pg_current_xact_id() FROM touched ORDER BY serial;
        RETURN NULL;
      END $$;

      CREATE FUNCTION catena_run_removed() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        DELETE FROM run_change WHERE run = ANY (ARRAY (SELECT serial FROM touched));
        RETURN NULL;
      END $$;

      -- An array, because it is always looked up in the primary key: a plan for the rows of a large statement would
      -- stay in the session, for small ones. Locked in order, where one statement writes to many runs.
      CREATE FUNCTION catena_run_changed() RETURNS trigger LANGUAGE plpgsql AS $$
      DECLARE
        runs integer[] := ARRAY (SELECT DISTINCT serial FROM touched);
        now_id xid8;
      BEGIN
        IF cardinality(runs) = 0 THEN RETURN NULL; END IF;
        IF cardinality(runs) > 1 THEN
          PERFORM FROM run_change WHERE run = ANY (runs) ORDER BY run FOR NO KEY UPDATE;
        END IF;
        now_id := pg_current_xact_id();
        UPDATE run_change SET changed = now_id WHERE run = ANY (runs) AND changed <> now_id;
        RETURN NULL;
      END $$;
      CREATE FUNCTION catena_run_logged() RETURNS trigger LANGUAGE plpgsql AS $$
      DECLARE
        runs integer[] := ARRAY (SELECT DISTINCT run FROM touched);
        now_id xid8;
      BEGIN
        IF cardinality(runs) = 0 THEN RETURN NULL; END IF;
        IF cardinality(runs) > 1 THEN
          PERFORM FROM run_change WHERE run = ANY (runs) ORDER BY run FOR NO KEY UPDATE;
        END IF;
        now_id := pg_current_xact_id();
        UPDATE run_change SET changed = now_id WHERE run = ANY (runs) AND changed <> now_id;
        RETURN NULL;
      END $$;
      CREATE FUNCTION catena_run_labelled() RETURNS trigger LANGUAGE plpgsql AS $$
      DECLARE
        runs integer[] := ARRAY (SELECT DISTINCT run FROM touched);
        now_id xid8;
      BEGIN
        IF cardinality(runs) = 0 THEN RETURN NULL; END IF;
        IF cardinality(runs) > 1 THEN
          PERFORM FROM run_change WHERE run = ANY (runs) ORDER BY run FOR NO KEY UPDATE;
        END IF;
        now_id := pg_current_xact_id();
        UPDATE run_change SET changed = now_id, labelled = now_id WHERE run = ANY (runs) AND labelled <> now_id;
        RETURN NULL;
      END $$;

      CREATE TRIGGER run_made AFTER INSERT ON run REFERENCING NEW TABLE AS touched
        FOR EACH STATEMENT EXECUTE FUNCTION catena_run_made();
      CREATE TRIGGER run_changed AFTER UPDATE ON run REFERENCING NEW TABLE AS touched
        FOR EACH STATEMENT EXECUTE FUNCTION catena_run_changed();
      CREATE TRIGGER run_removed AFTER DELETE ON run REFERENCING OLD TABLE AS touched
        FOR EACH STATEMENT EXECUTE FUNCTION catena_run_removed();
    `);
    for (const [table, said] of VOLUME)
      for (const [event, rows] of EVENTS)
        await runner.query(`
          CREATE TRIGGER ${table}_${event.toLowerCase()}_${said} AFTER ${event} ON ${table}
            REFERENCING ${rows} TABLE AS touched FOR EACH STATEMENT EXECUTE FUNCTION catena_run_${said}()`);
    // Behind the triggers, which keep other writers out until all is there.
    await runner.query(`
      INSERT INTO run_change (run, experiment, changed, labelled)
      SELECT serial, experiment_serial, pg_current_xact_id(), pg_current_xact_id() FROM run ORDER BY serial;
      CREATE INDEX run_change_labelled_idx ON run_change (experiment, labelled);
    `);
  }

  down(): Promise<void> {
    throw new Error('Migrations go forward only.');
  }
}

const VOLUME = [
  ['latest_metric', 'logged'],
  ['param', 'labelled'],
  ['run_tag', 'labelled'],
  ['run_dataset', 'logged'],
  ['run_model', 'logged'],
] as const;

const EVENTS = [
  ['INSERT', 'NEW'],
  ['UPDATE', 'NEW'],
  ['DELETE', 'OLD'],
] as const;
