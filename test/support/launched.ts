import { spawn, type ChildProcess } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** The build output, also from inside of it. */
const DIST = join(import.meta.dirname, import.meta.filename.endsWith('.ts') ? '../../dist' : '../..');
const MAIN = join(DIST, 'apps/standalone/src/main.js');

/** The launcher as a process of its own, from the build output, as a user runs it. */
export class Launched {
  output = '';
  readonly process: ChildProcess;
  /** Exit code, or the signal that ended it. */
  readonly ended: Promise<number | string | null>;

  constructor(args: readonly string[], environment: Readonly<Record<string, string>>) {
    // Nothing of the test run's own settings may leak in.
    const inherited = Object.entries(process.env).filter(
      ([name]) => !/^(CATENA_|DATABASE_URL|S3_|AWS_|npm_)/.test(name),
    );
    this.process = spawn(process.execPath, [MAIN, ...args], {
      env: {
        ...Object.fromEntries(inherited),
        CATENA_REGISTRY_PORT: '0',
        CATENA_GATEWAY_PORT: '0',
        CATENA_LOG_LEVEL: 'warn',
        ...environment,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [this.process.stdout!, this.process.stderr!])
      stream.setEncoding('utf8').on('data', (text: string) => (this.output += text));
    this.ended = new Promise((resolve) =>
      this.process.once('close', (code, signal) => resolve(code ?? signal)),
    );
  }

  /** Waits for a line and gives what matched. */
  async says(pattern: RegExp, timeoutMs = 60_000): Promise<RegExpExecArray> {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      const match = pattern.exec(this.output);
      if (match) return match;
      if (Date.now() > deadline || this.process.exitCode !== null)
        throw new Error(`The launcher never said ${pattern}. It said:\n${this.output}`);
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
  }

  async urls(): Promise<{ registry: string; gateway: string }> {
    const [, registry] = await this.says(/Registry\s+(http\S+)\/api\/v1/);
    const [, gateway] = await this.says(/Gateway\s+(http\S+)\/v1/);
    await this.says(/Ctrl-C stops it/);
    return { registry: registry!, gateway: gateway! };
  }

  signal(signal: NodeJS.Signals): void {
    this.process.kill(signal);
  }
}

/** Ids of all processes whose command line or environment names the text: a data directory that is nobody else's. */
export function processesNaming(text: string): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && name !== String(process.pid))
    .filter((pid) =>
      ['cmdline', 'environ'].some((file) => {
        try {
          return readFileSync(`/proc/${pid}/${file}`, 'utf8').includes(text);
        } catch {
          return false; // ended meanwhile
        }
      }),
    );
}
