import type { MigrationInterface, QueryRunner } from 'typeorm';

/** How a model endpoint is asked for structured output; on the rows, how the output contract was met. */
export class Contracts1795305600017 implements MigrationInterface {
  readonly name = 'Contracts1795305600017';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      ALTER TABLE model_endpoint
        ADD COLUMN structured_output  text NOT NULL DEFAULT 'response_format',
        ADD CONSTRAINT model_endpoint_structured_output_check CHECK (
          structured_output IN ('response_format', 'structured_outputs', 'json_object', 'prompt'));
      COMMENT ON COLUMN model_endpoint.structured_output IS 'how it is asked for JSON by a schema; prompt: in words only';

      ALTER TABLE inference
        ADD COLUMN contract_outcome  text,
        ADD COLUMN contract_rungs    jsonb;
      COMMENT ON COLUMN inference.contract_outcome IS 'how the output contract was met, or not; null where nothing was held against one';
      COMMENT ON COLUMN inference.contract_rungs IS 'list of what was done for the contract, in order, with tokens, cost and time';

      CREATE INDEX inference_contract_idx ON inference (workspace_id, contract_outcome, id DESC)
        WHERE contract_outcome IS NOT NULL;
    `);
  }

  down(): Promise<void> {
    throw new Error('Migrations go forward only.');
  }
}
