import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Workspaces, the append-only guard, and the change feed that gateways follow. */
export class Foundation1795305600001 implements MigrationInterface {
  readonly name = 'Foundation1795305600001';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE workspace (
        id          uuid        NOT NULL,
        name        text        NOT NULL COLLATE "C",
        created_at  timestamptz NOT NULL,
        CONSTRAINT workspace_pk PRIMARY KEY (id),
        CONSTRAINT workspace_name_key UNIQUE (name)
      );

      INSERT INTO workspace (id, name, created_at)
      VALUES ('00000000-0000-7000-8000-000000000001', 'default', now());

      -- Guard of append-only tables, below every protocol and every client.
      CREATE FUNCTION catena_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        RAISE EXCEPTION 'table % is append-only: % refused', TG_TABLE_NAME, TG_OP
          USING ERRCODE = 'restrict_violation';
      END $$;

      -- The head of the change feed: one row, so that sequence order is commit order. A plain sequence would let
      -- a reader see 8 before 7 is committed, and miss 7 for ever. The epoch tells databases apart.
      CREATE TABLE change_head (
        singleton  boolean NOT NULL DEFAULT true,
        epoch      uuid    NOT NULL,
        seq        bigint  NOT NULL,
        CONSTRAINT change_head_pk PRIMARY KEY (singleton),
        CONSTRAINT change_head_is_one_row CHECK (singleton)
      );
      INSERT INTO change_head (epoch, seq) VALUES (gen_random_uuid(), 0);

      -- What changed, for gateways: the noun ('endpoint' | 'model_endpoint') and the id of its row.
      CREATE TABLE change (
        seq           bigint      NOT NULL,
        workspace_id  uuid        NOT NULL,
        noun          text        NOT NULL,
        noun_id       uuid        NOT NULL,
        at            timestamptz NOT NULL,
        CONSTRAINT change_pk PRIMARY KEY (seq)
      );

      -- Call inside the transaction that makes the change, as its last statement: the head row is locked from
      -- here to the commit. The notification is a hint; readers that miss it find the row by polling.
      CREATE FUNCTION catena_record_change(workspace uuid, noun text, noun_id uuid) RETURNS bigint
      LANGUAGE plpgsql AS $$
      DECLARE seq_now bigint;
      BEGIN
        UPDATE change_head SET seq = seq + 1 RETURNING seq INTO seq_now;
        INSERT INTO change (seq, workspace_id, noun, noun_id, at) VALUES (seq_now, workspace, noun, noun_id, clock_timestamp());
        PERFORM pg_notify('catena_change', seq_now::text);
        RETURN seq_now;
      END $$;
    `);
  }

  down(): Promise<void> {
    throw new Error('Migrations go forward only.');
  }
}
