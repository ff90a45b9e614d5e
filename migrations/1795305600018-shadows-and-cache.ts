import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Shadows of splits; how long gateways keep answers; both on the rows. */
export class ShadowsAndCache1795305600018 implements MigrationInterface {
  readonly name = 'ShadowsAndCache1795305600018';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE shadow (
        workspace_id      uuid     NOT NULL,
        split_id          uuid     NOT NULL,
        position          smallint NOT NULL,
        name              text     NOT NULL,
        chain_version_id  uuid     NOT NULL,
        sample_bps        integer  NOT NULL,
        CONSTRAINT shadow_pk PRIMARY KEY (split_id, position),
        CONSTRAINT shadow_split_fk FOREIGN KEY (split_id) REFERENCES split (id),
        CONSTRAINT shadow_chain_version_fk FOREIGN KEY (chain_version_id) REFERENCES version (id),
        CONSTRAINT shadow_name_key UNIQUE (split_id, name),
        CONSTRAINT shadow_sample_check CHECK (sample_bps BETWEEN 1 AND 10000)
      );
      COMMENT ON COLUMN shadow.sample_bps IS 'share of the units whose requests are copied, in basis points';
      CREATE INDEX shadow_chain_version_idx ON shadow (chain_version_id);
      CREATE TRIGGER shadow_guard BEFORE UPDATE OR DELETE OR TRUNCATE ON shadow EXECUTE FUNCTION catena_refuse_change();

      ALTER TABLE endpoint
        ADD COLUMN cache_ttl_seconds integer,
        ADD CONSTRAINT endpoint_cache_ttl_check CHECK (cache_ttl_seconds BETWEEN 1 AND 604800);
      COMMENT ON COLUMN endpoint.cache_ttl_seconds IS 'how long gateways keep its answers; null: not at all';

      ALTER TABLE inference
        ADD COLUMN shadow_of  uuid,
        ADD COLUMN cache_hit  boolean;
      COMMENT ON COLUMN inference.shadow_of IS 'the inference whose request this one got a copy of';
      COMMENT ON COLUMN inference.cache_hit IS 'null where the endpoint kept no answers';
      CREATE INDEX inference_shadow_idx ON inference (workspace_id, shadow_of, id DESC) WHERE shadow_of IS NOT NULL;
    `);
  }

  down(): Promise<void> {
    throw new Error('Migrations go forward only.');
  }
}
