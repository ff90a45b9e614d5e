import { fork, type ChildProcess } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

const root = join(import.meta.dirname, '../../..');

export interface Server {
  readonly pid: number;
  readonly url: string;
  stop(): Promise<void>;
}

/**
 * Starts a built entry point (path below `dist/`) and waits until it has logged the URL it listens on.
 * `env` is all it gets, besides what finds Node.
 */
export async function startServer(entry: string, env: Record<string, string> = {}): Promise<Server> {
  const child = fork(join(root, 'dist', entry), {
    cwd: root,
    env: { PATH: process.env['PATH'], NODE_OPTIONS: process.env['NODE_OPTIONS'], ...env },
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
  });
  const url = await listeningUrl(child, entry);
  return {
    pid: child.pid!,
    url,
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const gone = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGTERM');
      const force = setTimeout(() => child.kill('SIGKILL'), 10_000);
      await gone;
      clearTimeout(force);
    },
  };
}

function listeningUrl(child: ChildProcess, entry: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let seen = '';
    child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      seen = (seen + text).slice(-10_000);
      const url = /http:\/\/[\w.:[\]]+:\d+/.exec(seen);
      if (url) resolve(url[0].replace('[::1]', '127.0.0.1'));
    });
    child.once('exit', (code) =>
      reject(new Error(`${entry} ended with code ${code} before it listened:\n${seen}`)),
    );
  });
}

/** CPU time a process has used so far, user and system, in milliseconds. Linux: /proc, in ticks of 10 ms. */
export async function cpuMs(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10;
}
