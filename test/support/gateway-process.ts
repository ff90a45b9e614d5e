import { spawn, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { join } from 'node:path';
import { TEST_ENCRYPTION_KEYS } from './registry.js';

const MAIN = join(import.meta.dirname, '../../dist/apps/gateway/src/main.js');

/** The built gateway as a process of its own, to be killed. */
export class GatewayProcess {
  readonly log: any[] = [];
  /** What it wrote to standard error. */
  complaints = '';

  private constructor(
    private readonly child: ChildProcess,
    readonly exited: Promise<number | null>,
  ) {}

  url = '';

  static async start(
    databaseUrl: string,
    dataDir: string,
    settings: Record<string, string> = {},
    { maxFileBlocks }: { readonly maxFileBlocks?: number } = {},
  ): Promise<GatewayProcess> {
    // A limit on the size of every file it writes, in blocks of 512 or 1024 bytes: the shells differ.
    const limit = maxFileBlocks === undefined ? '' : `ulimit -f ${maxFileBlocks}; `;
    const child = spawn('/bin/sh', ['-c', `${limit}exec "$0" "$@"`, process.execPath, MAIN], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        PATH: process.env['PATH'],
        DATABASE_URL: databaseUrl,
        CATENA_ENCRYPTION_KEYS: TEST_ENCRYPTION_KEYS,
        CATENA_DATA_DIR: dataDir,
        CATENA_GATEWAY_PORT: '0',
        ...settings,
      },
    });
    const exited = new Promise<number | null>((resolve) => child.once('close', (code) => resolve(code)));
    const gateway = new GatewayProcess(child, exited);
    child.stderr.setEncoding('utf8').on('data', (text: string) => (gateway.complaints += text));
    await new Promise<void>((resolve, reject) => {
      createInterface({ input: child.stdout }).on('line', (line) => {
        const entry = JSON.parse(line);
        gateway.log.push(entry);
        if (entry.msg === 'gateway is listening') {
          gateway.url = entry.url;
          resolve();
        }
      });
      void exited.then((code) =>
        reject(
          new Error(`The gateway exited with ${code}: ${gateway.complaints}${JSON.stringify(gateway.log)}`),
        ),
      );
    });
    while ((await fetch(`${gateway.url}/readyz`)).status !== 200);
    return gateway;
  }

  /** SIGKILL: nothing in the process gets a chance to tidy up. */
  async kill(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.exited;
  }

  async stop(): Promise<number | null> {
    this.child.kill('SIGTERM');
    return this.exited;
  }
}
