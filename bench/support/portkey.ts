import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { freePort } from '../../apps/standalone/src/free-port.js';
import { startServer, type Server } from './processes.js';

export const PORTKEY = '1.15.2';
/**
 * What npm would take instead of the two overrides answers every stream with 500
 * (https://github.com/Portkey-AI/gateway/issues/1389): these are the versions in Portkey's own lock file.
 */
const MANIFEST = JSON.stringify({
  private: true,
  dependencies: { '@portkey-ai/gateway': PORTKEY },
  overrides: { '@hono/node-server': '1.13.5', hono: '4.9.7' },
});
const DIRECTORY = join(import.meta.dirname, '../../../node_modules/.cache/catena-bench/portkey');

/**
 * Portkey's gateway as its readme has it run (its own server on Node), in production mode, without its console.
 * Installed below node_modules/.cache where it is not there.
 */
export async function startPortkey(): Promise<Server> {
  await install();
  return startServer(
    join(DIRECTORY, 'node_modules/@portkey-ai/gateway/build/start-server.js'),
    { NODE_ENV: 'production' },
    { args: [`--port=${await freePort()}`, '--headless'], preload: 'bench/reference/on-loopback.js' },
  );
}

/** @throws Error that says what to do without it. */
async function install(): Promise<void> {
  const stamp = join(DIRECTORY, 'complete');
  if (existsSync(stamp) && (await readFile(stamp, 'utf8')) === MANIFEST) return;
  await mkdir(DIRECTORY, { recursive: true });
  await writeFile(join(DIRECTORY, 'package.json'), MANIFEST);
  try {
    await promisify(execFile)('npm', ['install', '--no-audit', '--no-fund', '--ignore-scripts'], {
      cwd: DIRECTORY,
    });
  } catch (error) {
    throw new Error(
      `@portkey-ai/gateway@${PORTKEY} could not be installed from npm; choose other benchmarks with --only.`,
      { cause: error },
    );
  }
  await writeFile(stamp, MANIFEST);
}
