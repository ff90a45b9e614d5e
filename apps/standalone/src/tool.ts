import { spawn } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { readSettings, type SettingName, type Settings } from '#libs/platform/config/settings.js';
import { DirectoryLock, DirectoryLockedError } from '#libs/platform/lock/directory-lock.js';
import { EmbeddedStores, type StoresAddress } from './embedded-stores.js';
import { loadEncryptionKeys } from './encryption-keys.js';
import { LAUNCHER_LOCK } from './launcher.js';
import { readRunningFile } from './running-file.js';

type Environment = Readonly<Record<string, string | undefined>>;

const S3_CREDENTIALS: SettingName[] = ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY'];

/** Commands that work on the stores of a stack, whether it is running or not: folder of their main.js in the registry. */
export const TOOLS: Readonly<Record<string, string>> = { gc: 'gc', import: 'import' };

/**
 * Runs one to its end, against the stores that the settings name, those of the stack that runs on the data directory,
 * or those of the data directory itself, started for the while.
 * @returns its exit code.
 */
export async function runTool(
  tool: string,
  args: readonly string[],
  environment: Environment,
): Promise<number> {
  const file = join(import.meta.dirname, '../../registry/src', TOOLS[tool]!, 'main.js');
  if (args.includes('--help') || args.includes('-h')) return run(file, args, environment);
  const settings = readSettings(environment, environment['S3_ENDPOINT'] ? S3_CREDENTIALS : []);
  await using started = new AsyncDisposableStack();
  const address = await findStores(settings, environment, started);
  return await run(file, args, {
    CATENA_LOG_LEVEL: 'warn',
    ...environment,
    ...address,
    CATENA_DATA_DIR: settings.CATENA_DATA_DIR,
    CATENA_ENCRYPTION_KEYS:
      settings.CATENA_ENCRYPTION_KEYS ?? (await loadEncryptionKeys(settings.CATENA_DATA_DIR)),
  });
}

async function findStores(
  settings: Settings,
  environment: Environment,
  started: AsyncDisposableStack,
): Promise<StoresAddress> {
  const directory = settings.CATENA_DATA_DIR;
  await mkdir(directory, { recursive: true, mode: userInfo().uid === 0 ? 0o711 : 0o700 });
  if (settings.DATABASE_URL !== undefined && settings.S3_ENDPOINT !== undefined) return {};
  try {
    const lock = DirectoryLock.acquire(directory, LAUNCHER_LOCK, '');
    started.defer(() => lock.release());
  } catch (error) {
    if (!(error instanceof DirectoryLockedError)) throw error;
    const running = await readRunningFile(directory);
    if (running) return running;
    throw new Error(`The Catena on ${directory} is just starting or stopping; try again in a moment.`, {
      cause: error,
    });
  }
  const stores = await EmbeddedStores.start(settings, environment, (stop) => started.defer(stop));
  return stores.address;
}

/** Ctrl-C reaches the child by itself, being of the same group; this process waits for it, and then stops the stores. */
async function run(file: string, args: readonly string[], env: Environment): Promise<number> {
  const child = spawn(process.execPath, [file, ...args], { env, stdio: 'inherit' });
  const ignore = (): void => undefined;
  const pass = (): void => void child.kill('SIGTERM');
  process.on('SIGINT', ignore).on('SIGTERM', pass);
  try {
    return await new Promise<number>((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', (code) => resolve(code ?? 1));
    });
  } finally {
    process.off('SIGINT', ignore).off('SIGTERM', pass);
  }
}
