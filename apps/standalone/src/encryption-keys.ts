import { randomBytes } from 'node:crypto';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * The key that encrypts credentials at rest, made once and kept in a file only its owner can read.
 * Losing it loses the credentials of all model endpoints, nothing else.
 * @returns a value for CATENA_ENCRYPTION_KEYS.
 */
export async function loadEncryptionKeys(dataDirectory: string): Promise<string> {
  const path = join(dataDirectory, 'encryption-keys');
  try {
    return (await readFile(path, 'utf8')).trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  const keys = `local-1:${randomBytes(32).toString('base64')}`;
  // Moved into place whole: a key cut short by a crash would lock out what a later one encrypts.
  await writeFile(`${path}.new`, `${keys}\n`, { mode: 0o600, flush: true });
  await rename(`${path}.new`, path);
  return keys;
}
