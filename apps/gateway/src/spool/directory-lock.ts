import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

/** Another process owns the directory. */
export class DirectoryLockedError extends Error {
  override readonly name = 'DirectoryLockedError';
}

/**
 * Owns a directory for as long as the process lives. Node offers no file locks; SQLite takes the operating
 * system's, which end with the process however it ends, so that no stale lock is ever left behind, and no process
 * id is mistaken for another's. https://www.sqlite.org/lockingv3.html
 */
export class DirectoryLock {
  private constructor(private readonly handle: DatabaseSync) {}

  /** @throws DirectoryLockedError */
  static acquire(directory: string): DirectoryLock {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const handle = new DatabaseSync(join(directory, 'lock'));
    try {
      handle.exec('BEGIN EXCLUSIVE');
    } catch (error) {
      handle.close();
      if (!(error instanceof Error) || !/locked|busy/i.test(error.message)) throw error;
      throw new DirectoryLockedError(
        `${directory} belongs to another running gateway; give each gateway a CATENA_DATA_DIR of its own.`,
        { cause: error },
      );
    }
    return new DirectoryLock(handle);
  }

  release(): void {
    if (this.handle.isOpen) this.handle.close();
  }
}
