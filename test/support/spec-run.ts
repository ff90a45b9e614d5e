import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const ROOT = join(import.meta.dirname, '../../..');

export interface Outcome {
  readonly passed: number;
  readonly failed: number;
}

/** Runs the specs of a vitest configuration. @param more arguments for vitest. */
export function runSpecs(
  config: string,
  env: Readonly<Record<string, string>>,
  more: readonly string[],
): Outcome {
  const directory = mkdtempSync(join(tmpdir(), 'catena-spec-run-'));
  const report = join(directory, 'tests.json');
  try {
    spawnSync(
      process.execPath,
      [
        join(ROOT, 'node_modules/vitest/vitest.mjs'),
        'run',
        `--config=${config}`,
        '--reporter=default',
        '--reporter=json',
        `--outputFile.json=${report}`,
        ...more,
      ],
      { cwd: ROOT, stdio: 'inherit', env: { ...process.env, ...env } },
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

/** The last line of a run, which the gate reads. */
export function tell({ passed, failed }: Outcome): void {
  console.log(`${passed} passed, ${failed} failed`);
  process.exitCode = failed > 0 || passed === 0 ? 1 : 0;
}
