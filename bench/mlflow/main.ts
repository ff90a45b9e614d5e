/**
 * `npm run bench:mlflow [-- --quick] [--write] [--only <name>]…`: Catena against MLflow's own server over MLflow's own protocol, on one
 * PostgreSQL, in turns. Needs Python 3.10 or newer. `--quick` takes one round and leaves out a million runs; `--write`
 * keeps the table in docs/benchmarks.md.
 */
import { chosen, runTables, readOptions, type Table } from '../support/suite.js';
import { largeArtifact } from './artifacts.js';
import { idleMemory, versionByAlias } from './registry.js';
import { startServers, type Servers } from './servers.js';
import { logBatch, logMetric, metricHistory, searchRuns } from './tracking.js';

const VERSION = '3.11.1';

const options = readOptions();
const rounds = options.quick ? 1 : 3;
const table: Table<Servers> = {
  mark: 'mlflow',
  rounds,
  about: `MLflow ${VERSION}, 4 workers, uvloop`,
  benches: [
    { name: 'memory', run: (servers) => idleMemory(servers) },
    { name: 'log-batch', run: (servers) => logBatch(servers, rounds) },
    { name: 'log-metric', run: (servers) => logMetric(servers, rounds) },
    { name: 'alias', run: (servers) => versionByAlias(servers, rounds) },
    { name: 'history', run: (servers) => metricHistory(servers, rounds) },
    { name: 'search', run: (servers) => searchRuns(servers, rounds, !options.quick) },
    { name: 'artifact', run: (servers) => largeArtifact(servers, rounds) },
  ],
};
await runTables(chosen([table], options.only, options.write), () => startServers(VERSION), options.write);
