import { execFile } from 'node:child_process';
import { userInfo } from 'node:os';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Who PostgreSQL runs as, and how a program is started as that user. */
export interface PostgresOwner {
  /** Undefined: the user this process runs as. */
  readonly uid: number | undefined;
  readonly gid: number | undefined;
  /** The command line that runs `program` as the owner. */
  command(program: string, args: readonly string[]): [file: string, args: string[]];
}

const SELF: PostgresOwner = { uid: undefined, gid: undefined, command: (file, args) => [file, [...args]] };

/**
 * PostgreSQL refuses to run as root: there, a system user takes its place. Where that user cannot reach the
 * program or the data (a clone under /root, say), it is given the one capability that opens directories,
 * CAP_DAC_OVERRIDE, as an ambient capability: it stays an ordinary user in everything else. See capabilities(7).
 * @param program an executable it must be able to run.
 * @param directory a directory it must be able to enter.
 */
export async function findPostgresOwner(program: string, directory: string): Promise<PostgresOwner> {
  if (userInfo().uid !== 0) return SELF;
  const user = await findUser();
  const plain: PostgresOwner = { ...user, command: (file, args) => [file, [...args]] };
  if (await reaches(plain, user, program, directory)) return plain;
  const capable: PostgresOwner = {
    uid: user.uid,
    gid: user.gid,
    command: (file, args) => [
      'setpriv',
      [
        `--reuid=${user.uid}`,
        `--regid=${user.gid}`,
        '--clear-groups',
        '--inh-caps=+dac_override',
        '--ambient-caps=+dac_override',
        // access(2) leaves capabilities out of account otherwise, and initdb asks it about its own program.
        '--securebits=+no_setuid_fixup',
        file,
        ...args,
      ],
    ],
  };
  if (await reaches(capable, {}, program, directory)) return capable;
  throw new Error(
    `PostgreSQL cannot run as root, and user ${user.uid} may not enter ${directory} or run ${program}. ` +
      'Make these directories enterable for others (chmod o+x), start as an ordinary user, or set DATABASE_URL.',
  );
}

/** What `spawn` needs besides the command: nothing where setpriv changes the user. */
export function spawnIdentity(owner: PostgresOwner): { uid?: number; gid?: number } {
  const [file] = owner.command('program', []);
  return file === 'setpriv' || owner.uid === undefined ? {} : { uid: owner.uid, gid: owner.gid! };
}

async function reaches(
  owner: PostgresOwner,
  identity: { uid?: number; gid?: number },
  program: string,
  directory: string,
): Promise<boolean> {
  const [file, args] = owner.command('/bin/sh', [
    '-c',
    'cd "$2" && exec "$1" --version',
    'sh',
    program,
    directory,
  ]);
  return run(file, args, { ...identity, cwd: '/' }).then(
    () => true,
    () => false,
  );
}

async function findUser(): Promise<{ uid: number; gid: number }> {
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
