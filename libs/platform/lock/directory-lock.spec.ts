import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DirectoryLock, DirectoryLockedError } from './directory-lock.js';

const BUILT = join(import.meta.dirname, '../../../dist/libs/platform/lock/directory-lock.js');
const HOLD = `
  import { DirectoryLock } from ${JSON.stringify(BUILT)};
  DirectoryLock.acquire(process.argv[1], 'lock', 'taken');
  console.log('held');
  setInterval(() => undefined, 1000);`;

describe('the lock of a directory', () => {
  let directory: string;
  let child: ChildProcess | undefined;
  const locks: DirectoryLock[] = [];
  beforeEach(async () => (directory = join(await mkdtemp(join(tmpdir(), 'catena-lock-')), 'made', 'here')));
  afterEach(async () => {
    for (const lock of locks.splice(0)) lock.release();
    if (child?.exitCode === null && child.signalCode === null) await kill();
    await rm(join(directory, '../..'), { recursive: true, force: true });
  });

  const acquire = (name = 'lock') => {
    const lock = DirectoryLock.acquire(directory, name, 'it is taken');
    locks.push(lock);
    return lock;
  };
  const holdElsewhere = async () => {
    child = spawn(process.execPath, ['--input-type=module', '-e', HOLD, directory], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(child.stdout!, 'data');
  };
  async function kill(): Promise<void> {
    child!.kill('SIGKILL');
    await once(child!, 'exit');
  }

  it('makes the directory, readable by its owner only', async () => {
    acquire();
    expect((await stat(directory)).mode & 0o777).toBe(0o700);
  });

  it('is refused with the given words while another process holds it', async () => {
    await holdElsewhere();
    expect(() => acquire()).toThrow(DirectoryLockedError);
    expect(() => acquire()).toThrow('it is taken');
  });

  it('is free at once when the process that held it was killed', async () => {
    await holdElsewhere();
    expect(() => acquire()).toThrow(DirectoryLockedError);
    await kill();
    acquire();
  });

  it('is refused to a second holder in the same process, and free after the release', () => {
    const first = acquire();
    expect(() => acquire()).toThrow(DirectoryLockedError);
    first.release();
    acquire();
  });

  it('can be released twice', () => {
    const lock = acquire();
    lock.release();
    lock.release();
    acquire();
  });

  it('is one per name: a launcher and its gateway may share a directory', () => {
    acquire('launcher.lock');
    acquire('lock');
  });

  it('tells a directory that cannot be used from one that is taken', async () => {
    acquire();
    expect(() => DirectoryLock.acquire(join(directory, 'lock', 'below'), 'lock', 'it is taken')).toThrow(
      'ENOTDIR',
    );
  });
});
