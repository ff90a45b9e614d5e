import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Model endpoints that speak other protocols than OpenAI's. */
export class Protocols1795305600014 implements MigrationInterface {
  readonly name = 'Protocols1795305600014';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      ALTER TABLE model_endpoint DROP CONSTRAINT model_endpoint_protocol_check;
      ALTER TABLE model_endpoint
        ADD COLUMN api_version  text,
        ADD CONSTRAINT model_endpoint_protocol_check CHECK (protocol IN ('openai', 'azure-openai', 'anthropic'));
      COMMENT ON COLUMN model_endpoint.api_version IS 'version of the protocol to ask for; null: the one the gateway was written against';
    `);
  }

  down(): Promise<void> {
    throw new Error('Migrations go forward only.');
  }
}
