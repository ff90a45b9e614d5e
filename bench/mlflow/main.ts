/**
 * `npm run bench:mlflow [-- --quick] [-- --write]`: Catena against MLflow's own server over MLflow's own protocol, on one
 * PostgreSQL, in turns. Needs Python 3.10 or newer. `--quick` takes one round and leaves out a million runs; `--write`
 * keeps the table in docs/benchmarks.md.
 */
import { parseArgs } from 'node:util';
import { keepTable, markdownTable, type Row } from '../support/report.js';
import { largeArtifact } from './artifacts.js';
import { idleMemory, versionByAlias } from './registry.js';
import { startServers } from './servers.js';
import { logBatch, logMetric, metricHistory, searchRuns } from './tracking.js';

const VERSION = '3.11.1';

const { values: options } = parseArgs({
  options: { quick: { type: 'boolean', default: false }, write: { type: 'boolean', default: false } },
});
const rounds = options.quick ? 1 : 3;
const table: Row[] = [];
const keep = (found: Row[]): void => {
  for (const row of found)
    console.log(`${row.what}: ${row.measured}, ${row.ratio.toFixed(2)}× (reach ${row.reach})`);
  table.push(...found);
};

const servers = await startServers(VERSION);
try {
  keep(await idleMemory(servers));
  keep(await logBatch(servers, rounds));
  keep(await logMetric(servers, rounds));
  keep(await versionByAlias(servers, rounds));
  keep(await metricHistory(servers, rounds));
  keep(await searchRuns(servers, rounds, !options.quick));
  keep(await largeArtifact(servers, rounds));
} finally {
  await servers.stop();
}
console.log(`\n${markdownTable(table)}`);
if (options.write) await keepTable('mlflow', rounds, table, `MLflow ${VERSION}, 4 workers, uvloop`);
