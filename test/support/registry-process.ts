import { spawn, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { join } from 'node:path';
import type { TestDatabase } from './database.js';
import { registryEnvironment } from './registry.js';

const MAIN = join(import.meta.dirname, '../../dist/apps/registry/src/main.js');

/** The built registry as a process of its own, to be killed. */
export class RegistryProcess {
  url = '';
  private output = '';

  private constructor(
    private readonly child: ChildProcess,
    readonly exited: Promise<number | null>,
  ) {}

  static async start(
    database: TestDatabase,
    settings: Record<string, string> = {},
  ): Promise<RegistryProcess> {
    const child = spawn(process.execPath, [MAIN], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        PATH: process.env['PATH'],
        ...registryEnvironment(database, {
          CATENA_LOG_LEVEL: 'info',
          CATENA_REGISTRY_PORT: '0',
          ...settings,
        }),
      },
    });
    const exited = new Promise<number | null>((resolve) => child.once('close', (code) => resolve(code)));
    const registry = new RegistryProcess(child, exited);
    child.stderr.setEncoding('utf8').on('data', (text: string) => (registry.output += text));
    await new Promise<void>((resolve, reject) => {
      createInterface({ input: child.stdout }).on('line', (line) => {
        registry.output += `${line}\n`;
        const url = /"url":"([^"]+)".*registry is listening/.exec(line)?.[1];
        if (url === undefined) return;
        registry.url = url.replace('[::1]', '127.0.0.1');
        resolve();
      });
      void exited.then((code) => reject(new Error(`The registry exited with ${code}: ${registry.output}`)));
    });
    return registry;
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
