/** `catena gc`, against the database and the store that the environment names. */
import Table from 'cli-table3';
import { Command, InvalidArgumentError } from 'commander';
import { DataSource } from 'typeorm';
import { settingsOrExit } from '#libs/platform/config/settings-or-exit.js';
import { dataSourceOptions, migrate } from '#libs/platform/database/data-source.js';
import { ObjectStore } from '#libs/platform/object-store/object-store.js';
import { BlobRows } from '../artifacts/blob-rows.js';
import { BlobStore } from '../artifacts/blob-store.js';
import { Collector } from './collector.js';
import { parseAge, type GcScope } from './gc-scope.js';
import { assertDeleted } from './gc-targets.js';

interface Options {
  readonly olderThan?: number;
  readonly dryRun?: boolean;
  readonly runIds?: readonly string[];
  readonly experimentIds?: readonly number[];
  readonly workspace?: string;
}

const DEFAULT_AGE_MS = 30 * 86_400_000;

const command = new Command('catena gc')
  .description(
    'Removes for good what was deleted: experiments, runs with all they logged, logged models, traces, and bytes that nothing refers to. What a version refers to stays.',
  )
  // A default of commander would be shown in milliseconds.
  .option(
    '--older-than <age>',
    'only what was deleted so long ago: 30d, 12h, 1d6h30m (default: 30d)',
    readAge,
  )
  .option('--dry-run', 'count only, change nothing')
  .option('--run-ids <ids>', 'only these runs, separated by commas', readRunIds)
  .option(
    '--experiment-ids <ids>',
    'only these experiments and what is in them, by number, separated by commas',
    readNumbers,
  )
  .option('--workspace <name>', 'only this workspace; with ids, "default" unless given')
  .allowExcessArguments(false)
  .parse(process.argv);
const options = command.opts<Options>();

const settings = settingsOrExit(process.env, [
  'DATABASE_URL',
  'S3_ENDPOINT',
  'AWS_ACCESS_KEY_ID',
  'AWS_SECRET_ACCESS_KEY',
]);
await migrate(settings.DATABASE_URL!);
const database = await new DataSource(
  dataSourceOptions({ url: settings.DATABASE_URL!, poolSize: 2, applicationName: 'catena-gc' }),
).initialize();
const store = new ObjectStore({
  endpoint: settings.S3_ENDPOINT,
  publicEndpoint: settings.S3_PUBLIC_ENDPOINT,
  region: settings.AWS_REGION,
  bucket: settings.S3_BUCKET,
  accessKeyId: settings.AWS_ACCESS_KEY_ID!,
  secretAccessKey: settings.AWS_SECRET_ACCESS_KEY!,
});
try {
  const scope = await scopeOf(options);
  await assertDeleted(database, scope);
  const collector = new Collector(database, new BlobStore(store, new BlobRows(database)));
  const tally = await (options.dryRun ? collector.preview(scope) : collector.collect(scope));
  const table = new Table({
    head: [options.dryRun ? 'would be removed' : 'removed', 'count'],
    style: { head: [], border: [], compact: true },
  });
  for (const [what, count] of tally.entries()) table.push([what, { hAlign: 'right', content: count }]);
  console.log(table.toString());
  if (!options.dryRun)
    console.log(
      'Objects of dropped blobs leave the store two hours later, with a running registry or the next gc.',
    );
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
} finally {
  store.close();
  await database.destroy();
}

async function scopeOf(given: Options): Promise<GcScope> {
  const isNamed = given.runIds !== undefined || given.experimentIds !== undefined;
  const name = given.workspace ?? (isNamed ? 'default' : undefined);
  const rows: { id: string }[] =
    name === undefined ? [] : await database.query(`SELECT id FROM workspace WHERE name = $1`, [name]);
  if (name !== undefined && rows.length === 0) throw new Error(`There is no workspace "${name}".`);
  const [{ now }]: [{ now: Date }] = await database.query(`SELECT now()`);
  return {
    before: new Date(now.getTime() - (given.olderThan ?? DEFAULT_AGE_MS)),
    workspaceId: rows[0]?.id,
    runIds: given.runIds,
    experimentNumbers: given.experimentIds,
  };
}

function readAge(text: string): number {
  const age = parseAge(text);
  if (age === undefined) throw new InvalidArgumentError('Write it as 30d, 12h or 1d6h30m.');
  return age;
}

function readRunIds(text: string): string[] {
  return text.split(',').map((id) => {
    const trimmed = id.trim().toLowerCase();
    const uuid = /^[0-9a-f]{32}$/.test(trimmed)
      ? trimmed.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
      : trimmed;
    if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(uuid))
      throw new InvalidArgumentError(`"${id}" is no run id.`);
    return uuid;
  });
}

function readNumbers(text: string): number[] {
  return text.split(',').map((number) => {
    if (!/^\d{1,9}$/.test(number.trim())) throw new InvalidArgumentError(`"${number}" is no experiment id.`);
    return Number(number);
  });
}
