/**
 * `npm run test:mlflow`: the real MLflow client against the real stack. Makes a Python virtual environment per version of
 * mlflow (kept under `.venv/`), starts Catena as a user does, on free ports and with data of its own, and runs the suite
 * beside this file. Ends in one line: "N passed, N failed".
 *
 * `-- --version 3.11.1` (repeatable, or `latest`) chooses versions; what follows `--` once more goes to pytest.
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { mlflowPython } from './python.js';
import { Launched } from '../support/launched.js';

/** The oldest version that is tried, and whatever is the newest. */
const VERSIONS = ['3.11.1', 'latest'];
const ROOT = join(import.meta.dirname, '../../..');
const HERE = join(ROOT, 'test/mlflow');

interface Outcome {
  readonly passed: number;
  readonly failed: number;
}

/** Runs the suite against a stack of its own. */
async function run(version: string, more: readonly string[]): Promise<Outcome> {
  const python = mlflowPython(version);
  const data = mkdtempSync(join(tmpdir(), 'catena-mlflow-'));
  const launched = new Launched(['start'], { CATENA_DATA_DIR: join(data, 'stack') });
  try {
    const { registry } = await launched.urls();
    const report = join(data, 'report.xml');
    const suite = spawn(
      python,
      ['-m', 'pytest', '-q', '-p', 'no:cacheprovider', `--junitxml=${report}`, ...more, join(HERE, 'suite')],
      {
        cwd: data,
        stdio: 'inherit',
        env: {
          ...process.env,
          MLFLOW_TRACKING_URI: registry,
          MLFLOW_HTTP_REQUEST_MAX_RETRIES: '1',
          MLFLOW_DISABLE_TELEMETRY: 'true',
          DO_NOT_TRACK: 'true',
          PYTHONDONTWRITEBYTECODE: '1',
        },
      },
    );
    await new Promise((resolve) => suite.once('close', resolve));
    return outcomeOf(report);
  } finally {
    launched.signal('SIGTERM');
    await launched.ended;
    rmSync(data, { recursive: true, force: true });
  }
}

function outcomeOf(report: string): Outcome {
  if (!existsSync(report)) return { passed: 0, failed: 1 };
  const head = /<testsuite [^>]*>/.exec(readFileSync(report, 'utf8'))?.[0] ?? '';
  const count = (name: string) => Number(new RegExp(` ${name}="(\\d+)"`).exec(head)?.[1] ?? 0);
  const failed = count('failures') + count('errors');
  return { passed: count('tests') - failed - count('skipped'), failed };
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { version: { type: 'string', multiple: true, default: VERSIONS } },
});
let passed = 0;
let failed = 0;
for (const version of values.version) {
  console.log(`\n== mlflow ${version}`);
  const outcome = await run(version, positionals);
  passed += outcome.passed;
  failed += outcome.failed;
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed > 0 || passed === 0 ? 1 : 0;
