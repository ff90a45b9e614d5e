import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Which runs of an experiment have changed since: asked before a page that is remembered is shown again. */
export class RunPages1795305600020 implements MigrationInterface {
  readonly name = 'RunPages1795305600020';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query('CREATE INDEX run_change_changed_idx ON run_change (experiment, changed)');
  }

  down(): Promise<void> {
    throw new Error('Migrations go forward only.');
  }
}
