/** `catena import mlflow`, into the database and the store that the environment names. */
import Table from 'cli-table3';
import { Command } from 'commander';
import { DataSource } from 'typeorm';
import { settingsOrExit } from '#libs/platform/config/settings-or-exit.js';
import { migrate } from '#libs/platform/database/data-source.js';
import { createLogger } from '#libs/platform/log/logger.js';
import { createApp } from '../app.js';
import { importMlflow, type ImportOptions } from './import-mlflow.js';

const program = new Command('catena import').description('Brings what another server holds.');
program
  .command('mlflow')
  .description(
    'Brings experiments, runs, logged models, registered models, prompts and artifacts from an MLflow server; traces stay where they are. Run again, it goes on where it stopped and adds nothing twice.',
  )
  .requiredOption('--from <uri>', 'http(s)://server, postgresql://…, or sqlite:///file')
  .option('--artifacts-from <uri>', 'server or directory behind mlflow-artifacts: URIs, for a database')
  .option('--no-artifacts', 'leave the bytes where they are')
  .option('--workspace <name>', 'into this workspace', 'default')
  .allowExcessArguments(false)
  .action(run);
await program.parseAsync();

async function run(options: ImportOptions & { workspace: string }): Promise<void> {
  const settings = settingsOrExit(process.env, [
    'DATABASE_URL',
    'S3_ENDPOINT',
    'AWS_ACCESS_KEY_ID',
    'AWS_SECRET_ACCESS_KEY',
    'CATENA_ENCRYPTION_KEYS',
  ]);
  await migrate(settings.DATABASE_URL!);
  // The registry itself, on a port of its own that only this machine reaches and nobody else knows.
  const own = { ...settings, CATENA_HOST: '127.0.0.1', CATENA_ACCESS: 'open', CATENA_ADMIN_KEY: undefined };
  const app = await createApp(own, createLogger('import', settings.CATENA_LOG_LEVEL));
  try {
    await app.listen(0, '127.0.0.1');
    const rows: { id: string }[] = await app
      .get(DataSource)
      .query(`SELECT id FROM workspace WHERE name = $1`, [options.workspace]);
    if (!rows[0]) throw new Error(`There is no workspace "${options.workspace}".`);
    const caller = { workspaceId: rows[0].id, actor: 'import' };
    const result = await importMlflow(app, caller, options, (line) => console.error(line));
    const table = new Table({ head: ['', 'source', 'here'], style: { head: [], border: [], compact: true } });
    for (const [what, { source, here }] of Object.entries(result.counts))
      table.push([what, ...[source, here].map((count) => ({ hAlign: 'right' as const, content: count }))]);
    console.log(table.toString());
    for (const problem of result.problems) console.log(`! ${problem}`);
    console.log(result.problems.length === 0 ? 'Everything is here.' : `${result.problems.length} problems.`);
    process.exitCode = result.problems.length === 0 ? 0 : 1;
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  } finally {
    await app.close();
  }
}
