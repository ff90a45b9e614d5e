import { spawn, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { eventually } from '../support/gateway.js';

const APPS = join(import.meta.dirname, '../../apps');

interface LogLine {
  readonly level: number;
  readonly msg: string;
}

/** A built registry or gateway as a process of its own, with its log and its metrics. */
export class Server {
  url = '';
  private readonly lines: LogLine[] = [];

  private constructor(
    private readonly child: ChildProcess,
    private readonly exited: Promise<number | null>,
  ) {}

  /** @param maxFileBlocks limit on the size of every file it writes (`ulimit -f`), as if its disk were full. */
  static async start(
    app: 'registry' | 'gateway',
    env: Record<string, string>,
    maxFileBlocks?: number,
  ): Promise<Server> {
    const limit = maxFileBlocks === undefined ? '' : `ulimit -f ${maxFileBlocks}; `;
    const main = join(APPS, app, 'src/main.js');
    const child = spawn('/bin/sh', ['-c', `${limit}exec "$0" "$@"`, process.execPath, main], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { PATH: process.env['PATH'], CATENA_REGISTRY_PORT: '0', CATENA_GATEWAY_PORT: '0', ...env },
    });
    let complaints = '';
    child.stderr
      .setEncoding('utf8')
      .on('data', (text: string) => (complaints = (complaints + text).slice(-4_000)));
    const exited = new Promise<number | null>((resolve) => child.once('close', resolve));
    const server = new Server(child, exited);
    await new Promise<void>((resolve, reject) => {
      createInterface({ input: child.stdout }).on('line', (text) => {
        const line = JSON.parse(text) as LogLine & { url?: string };
        server.lines.push(line);
        if (!line.msg?.endsWith('is listening')) return;
        server.url = line.url!.replace('[::1]', '127.0.0.1');
        resolve();
      });
      void exited.then((code) => reject(new Error(`The ${app} exited with ${code}: ${complaints}`)));
    });
    await eventually(async () => (await fetch(`${server.url}/readyz`)).ok, 30_000, 20);
    return server;
  }

  /** The first line from `warn` on that says this. */
  said(what: string | RegExp): string | undefined {
    return this.lines.find(
      ({ level, msg }) => level >= 40 && (typeof what === 'string' ? msg.includes(what) : what.test(msg)),
    )?.msg;
  }

  /** @param name with its labels. */
  async metric(name: string): Promise<number> {
    const text = await (await fetch(`${this.url}/metrics`)).text();
    const line = text.split('\n').find((each) => each.startsWith(`${name} `));
    return line === undefined ? Number.NaN : Number(line.slice(name.length));
  }

  /** SIGKILL: nothing in the process gets a chance to tidy up. */
  async kill(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.exited;
  }

  async stop(): Promise<void> {
    this.child.kill('SIGTERM');
    await this.exited;
  }
}
