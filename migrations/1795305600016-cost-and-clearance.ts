import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Prices of cached and reasoning tokens and of single models; data classes and clearances; both on the rows. */
export class CostAndClearance1795305600016 implements MigrationInterface {
  readonly name = 'CostAndClearance1795305600016';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      ALTER TABLE model_endpoint
        ADD COLUMN cached_input_micro_usd_per_million_tokens       bigint,
        ADD COLUMN cache_write_input_micro_usd_per_million_tokens  bigint,
        ADD COLUMN reasoning_micro_usd_per_million_tokens          bigint,
        ADD COLUMN model_prices  jsonb NOT NULL DEFAULT '{}',
        ADD COLUMN clearance     text  NOT NULL DEFAULT 'internal',
        ADD CONSTRAINT model_endpoint_part_prices_check CHECK (
          cached_input_micro_usd_per_million_tokens >= 0 AND cache_write_input_micro_usd_per_million_tokens >= 0
          AND reasoning_micro_usd_per_million_tokens >= 0),
        ADD CONSTRAINT model_endpoint_clearance_check CHECK (clearance IN ('public', 'internal', 'restricted'));
      COMMENT ON COLUMN model_endpoint.model_prices IS 'object: model -> its prices, where they are not those of the others';
      COMMENT ON COLUMN model_endpoint.clearance IS 'the highest class of data it may see';

      ALTER TABLE endpoint
        ADD COLUMN data_class  text NOT NULL DEFAULT 'internal',
        ADD COLUMN payloads    text NOT NULL DEFAULT 'full',
        ADD CONSTRAINT endpoint_data_class_check CHECK (data_class IN ('public', 'internal', 'restricted')),
        ADD CONSTRAINT endpoint_payloads_check CHECK (payloads IN ('full', 'hash', 'hash-restricted'));
      COMMENT ON COLUMN endpoint.data_class IS 'what its requests carry at least';
      COMMENT ON COLUMN endpoint.payloads IS 'what rows keep of bodies and metadata';

      ALTER TABLE inference
        ADD COLUMN data_class                text,
        ADD COLUMN api_key                   text,
        ADD COLUMN team                      text,
        ADD COLUMN cached_input_tokens       integer,
        ADD COLUMN cache_write_input_tokens  integer,
        ADD COLUMN reasoning_tokens          integer;
      COMMENT ON COLUMN inference.data_class IS 'null in rows from before there were classes';
      COMMENT ON COLUMN inference.api_key IS 'name of the key it came with';
      COMMENT ON COLUMN inference.cached_input_tokens IS 'contained in input_tokens, as are those written to a cache';
      COMMENT ON COLUMN inference.reasoning_tokens IS 'contained in output_tokens';
    `);
  }

  down(): Promise<void> {
    throw new Error('Migrations go forward only.');
  }
}
