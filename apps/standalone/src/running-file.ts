import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { StoresAddress } from './embedded-stores.js';

const NAME = 'running.json';

/** Tells other commands on this data directory where the embedded stores of the running stack are. */
export async function writeRunningFile(dataDirectory: string, address: StoresAddress): Promise<void> {
  const path = join(dataDirectory, NAME);
  await writeFile(`${path}.new`, JSON.stringify(address), { mode: 0o600 });
  await rename(`${path}.new`, path);
}

export async function removeRunningFile(dataDirectory: string): Promise<void> {
  await rm(join(dataDirectory, NAME), { force: true });
}

/** @returns undefined while the stack is starting. Ask only while it holds its lock: a killed one leaves its file. */
export async function readRunningFile(dataDirectory: string): Promise<StoresAddress | undefined> {
  try {
    return JSON.parse(await readFile(join(dataDirectory, NAME), 'utf8')) as StoresAddress;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
