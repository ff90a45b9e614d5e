import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);

/**
 * Stops the server that a killed process has left behind on this directory, so that it has one owner. The process
 * id in the directory may by now belong to somebody else: only a PostgreSQL started on this very directory is touched.
 */
export async function stopOrphan(directory: string): Promise<void> {
  const file = await readFile(join(directory, 'postmaster.pid'), 'utf8').catch(() => undefined);
  const pid = Number(file?.split('\n')[0]);
  if (!Number.isInteger(pid) || pid <= 1 || !(await serves(pid, directory))) return;
  for (const signal of ['SIGINT', 'SIGQUIT', 'SIGKILL'] as const) {
    process.kill(pid, signal);
    for (let waited = 0; waited < 10_000; waited += 50) {
      if (!(await serves(pid, directory))) return;
      await sleep(50);
    }
  }
  throw new Error(`A PostgreSQL (process ${pid}) left behind on ${directory} does not end; end it yourself.`);
}

async function serves(pid: number, directory: string): Promise<boolean> {
  const command = await commandLine(pid);
  return command.includes('postgres') && command.split('\n').includes(directory);
}

/** One argument per line. From /proc where there is one; containers often have no `ps`. */
async function commandLine(pid: number): Promise<string> {
  try {
    return (await readFile(`/proc/${pid}/cmdline`, 'utf8')).replaceAll('\0', '\n');
  } catch {
    const { stdout } = await run('ps', ['-ww', '-o', 'command=', '-p', String(pid)]).catch(() => ({
      stdout: '',
    }));
    const [, directory] = / -D (.+?) -p \d+ /u.exec(stdout) ?? [];
    return directory === undefined ? '' : `postgres\n${directory}`;
  }
}
