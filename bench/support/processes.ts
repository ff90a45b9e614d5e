import { fork, type ChildProcess } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join, resolve as resolvePath } from 'node:path';

const root = join(import.meta.dirname, '../../..');

export interface Server {
  readonly pid: number;
  readonly url: string;
  stop(): Promise<void>;
}

export interface StartOptions {
  readonly args?: readonly string[];
  /** Module that is loaded before the entry point; path below `dist/`. */
  readonly preload?: string;
}

/**
 * Starts an entry point (path below `dist/`, or absolute) and waits until it has logged the URL it listens on.
 * `env` is all it gets, besides what finds Node.
 */
export async function startServer(
  entry: string,
  env: Record<string, string> = {},
  { args = [], preload }: StartOptions = {},
): Promise<Server> {
  const child = fork(resolvePath(root, 'dist', entry), args, {
    cwd: root,
    execArgv: preload === undefined ? [] : ['--import', join(root, 'dist', preload)],
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
      if (url) resolve(url[0].replace(/\[::1\]|localhost/, '127.0.0.1'));
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

/** Memory of a process that is in RAM now, in bytes. Linux: /proc. */
export async function residentBytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+)/.exec(status)![1]) * 1024;
}
