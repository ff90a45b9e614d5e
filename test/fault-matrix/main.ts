/**
 * `npm run fault-matrix`: sends a request into every fault, whole and streamed, under every retry policy, and prints
 * what came of it beside what docs/failure-semantics.md promises. Exit code 1 when they differ. `-- --write` puts the
 * table into the page.
 */
import { mkdtemp, chmod, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import { EmbeddedPostgres } from '../../apps/standalone/src/embedded-postgres.js';
import { freePort } from '../../apps/standalone/src/free-port.js';
import { migrate } from '../../libs/platform/database/data-source.js';
import { matrixTable, runMatrix } from './matrix.js';
import { withMatrix } from './page.js';

const PAGE = join(import.meta.dirname, '../../../docs/failure-semantics.md');

await using started = new AsyncDisposableStack();
const directory = await mkdtemp(join(tmpdir(), 'catena-fault-matrix-'));
started.defer(() => rm(directory, { recursive: true, force: true }));
await chmod(directory, 0o755);
const postgres = await EmbeddedPostgres.start(join(directory, 'postgres'), await freePort(), ['fsync=off']);
started.defer(() => postgres.stop());
await migrate(postgres.url());
const client = new Client({ connectionString: postgres.url() });
await client.connect();
started.defer(() => client.end());

const cells = await runMatrix({ url: postgres.url(), client });
const wrong = cells.filter((cell) => cell.seen !== cell.expected);
console.log(matrixTable(cells));
console.log(`\n${cells.length - wrong.length} of ${cells.length} as expected`);
if (wrong.length > 0) process.exitCode = 1;
else if (process.argv.includes('--write'))
  await writeFile(PAGE, withMatrix(await readFile(PAGE, 'utf8'), matrixTable(cells)));
