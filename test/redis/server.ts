import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../../apps/standalone/src/free-port.js';

/** A real Redis or Valkey in memory, to be killed, stalled and started again on the same port. */
export class RedisServer {
  private child: ChildProcess | undefined;
  private exited: Promise<void> = Promise.resolve();

  private constructor(
    readonly port: number,
    private readonly directory: string,
    private readonly options: readonly string[],
    private readonly program: string | undefined,
  ) {}

  /**
   * @param options as on the command line of redis-server.
   * @param program redis-server or valkey-server.
   */
  static async start(
    options: readonly string[] = [],
    program = process.env['REDIS_SERVER'],
  ): Promise<RedisServer> {
    const directory = await mkdtemp(join(tmpdir(), 'catena-redis-'));
    const server = new RedisServer(await freePort(), directory, options, program);
    await server.start();
    return server;
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  /** Empty: nothing is kept on the disk. One that runs goes on. */
  async start(): Promise<void> {
    if (this.child) return;
    const { program } = this;
    if (!program)
      throw new Error(
        'There is no Redis server to test with. `npm run test:redis` finds one and sets REDIS_SERVER.',
      );
    const child = spawn(
      program,
      [
        '--port',
        String(this.port),
        '--bind',
        '127.0.0.1',
        '--save',
        '',
        '--appendonly',
        'no',
        ...this.options,
      ],
      { cwd: this.directory, stdio: ['ignore', 'pipe', 'pipe'] },
    );
    this.child = child;
    // A test that fails may not get as far as to stop it.
    const end = () => child.kill('SIGKILL');
    process.once('exit', end);
    let log = '';
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text: string) => (log += text));
    let isOver = false;
    this.exited = new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('close', () => {
        isOver = true;
        this.child = undefined;
        process.off('exit', end);
        resolve();
      });
    });
    const deadline = performance.now() + 10_000;
    while (!(await this.listens())) {
      if (isOver || performance.now() > deadline) throw new Error(`${program} did not start: ${log}`);
      await sleep(10);
    }
  }

  /** SIGKILL. */
  async kill(): Promise<void> {
    this.child?.kill('SIGKILL');
    await this.exited;
  }

  /** It keeps its connections, takes new ones, and answers nothing. */
  stall(): void {
    this.child?.kill('SIGSTOP');
  }

  resume(): void {
    this.child?.kill('SIGCONT');
  }

  async stop(): Promise<void> {
    this.resume();
    await this.kill();
    await rm(this.directory, { recursive: true, force: true });
  }

  private listens(): Promise<boolean> {
    return new Promise((resolve) => {
      const socket = connect(this.port, '127.0.0.1');
      socket.once('connect', () => {
        socket.destroy();
        resolve(true);
      });
      socket.once('error', () => resolve(false));
    });
  }
}
