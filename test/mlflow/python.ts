import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const ROOT = join(import.meta.dirname, '../../..');
const REQUIREMENTS = join(ROOT, 'test/mlflow/requirements.txt');

/** @returns a Python of 3.10 or newer. @throws Error that says what to install. */
export function findPython(): string {
  for (const python of ['python3', 'python3.13', 'python3.12', 'python3.11', 'python3.10', 'python']) {
    const found = spawnSync(python, ['-c', 'import sys, venv; sys.exit(sys.version_info < (3, 10))']);
    if (found.status === 0) return python;
  }
  throw new Error('This needs Python 3.10 or newer with its venv module (Debian: apt install python3-venv).');
}

/** @returns the Python of a virtual environment below `.venv/` that has this version of mlflow; made where it is not there. */
export function mlflowPython(version: string): string {
  const directory = join(ROOT, '.venv', `mlflow-${version}`);
  const python = join(directory, 'bin/python');
  const stamp = join(directory, 'complete');
  const wanted = readFileSync(REQUIREMENTS, 'utf8');
  const isComplete = existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted;
  if (isComplete && version !== 'latest') return python;
  if (!existsSync(python)) execFileSync(findPython(), ['-m', 'venv', directory], { stdio: 'inherit' });
  const mlflow = version === 'latest' ? ['--upgrade', 'mlflow'] : [`mlflow==${version}`];
  execFileSync(
    python,
    ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', ...mlflow, '-r', REQUIREMENTS],
    {
      stdio: 'inherit',
    },
  );
  writeFileSync(stamp, wanted);
  return python;
}
