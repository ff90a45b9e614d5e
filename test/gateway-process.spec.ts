import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createTestDatabase, type TestDatabase } from './support/database.js';
import { eventually, temporaryDirectory } from './support/gateway.js';
import { TEST_ENCRYPTION_KEYS } from './support/keys.js';

/** The built output, as it is run: `npm test` builds first. */
const MAIN = join(import.meta.dirname, '../dist/apps/gateway/src/main.js');

interface Started {
  readonly child: ChildProcess;
  readonly url: string;
  /** What it wrote to both streams. */
  output(): string;
  /** Exit code, or the signal that ended it. */
  readonly ended: Promise<number | string>;
}

describe('the gateway process', () => {
  let database: TestDatabase;
  let dataDir: string;
  const children: ChildProcess[] = [];
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterAll(() => database.drop());
  beforeEach(async () => {
    dataDir = await temporaryDirectory();
  });
  afterEach(async () => {
    for (const child of children.splice(0)) child.kill('SIGKILL');
    await rm(dataDir, { recursive: true, force: true });
  });

  function launch(environment: Record<string, string> = {}) {
    const child = fork(MAIN, {
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      execArgv: [],
      env: {
        PATH: process.env['PATH'],
        DATABASE_URL: database.url,
        CATENA_ENCRYPTION_KEYS: TEST_ENCRYPTION_KEYS,
        CATENA_DATA_DIR: dataDir,
        CATENA_GATEWAY_PORT: '0',
        ...environment,
      },
    });
    children.push(child);
    let text = '';
    for (const stream of [child.stdout!, child.stderr!])
      stream.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
    // Not the child's 'close': it waits for the channel too, which one test closes itself.
    const drained = [child.stdout!, child.stderr!].map((stream) => once(stream, 'close'));
    const ended = once(child, 'exit').then(async ([code, signal]) => {
      await Promise.all(drained);
      return (code ?? signal) as number | string;
    });
    return { child, output: () => text, ended };
  }

  async function start(environment?: Record<string, string>): Promise<Started> {
    const launched = launch(environment);
    const listening = () => /"url":"([^"]+)".*gateway is listening/.exec(launched.output())?.[1];
    await eventually(() => listening() !== undefined, 15_000, 20);
    return { ...launched, url: listening()! };
  }

  it.each(['SIGTERM', 'SIGINT'] as const)(
    'ends cleanly on %s, after the request in flight',
    async (signal) => {
      const { child, url, ended } = await start();
      await eventually(async () => (await fetch(`${url}/readyz`)).status === 200);
      const socket = connect(Number(new URL(url).port), '127.0.0.1');
      let answer = '';
      socket.setEncoding('utf8').on('data', (chunk: string) => (answer += chunk));
      socket.write('GET /healthz HTTP/1.1\r\nhost: localhost\r\n');
      await new Promise((resolve) => setTimeout(resolve, 100));
      child.kill(signal);
      await new Promise((resolve) => setTimeout(resolve, 100));
      socket.write('\r\n');
      expect(await ended).toBe(0);
      expect(answer).toMatch(/^HTTP\/1.1 200 /);
    },
  );

  it('ends when its launcher is gone', async () => {
    const { child, ended } = await start();
    child.disconnect();
    expect(await ended).toBe(0);
  });

  it('starts and stays up without a database, not ready', async () => {
    const { child, url, ended } = await start({ DATABASE_URL: 'postgres://nobody@127.0.0.1:9/nothing' });
    expect((await fetch(`${url}/readyz`)).status).toBe(503);
    expect((await fetch(`${url}/healthz`)).status).toBe(200);
    child.kill('SIGTERM');
    expect(await ended).toBe(0);
  });

  it('names every bad setting at once and does not start', async () => {
    const { output, ended } = launch({
      CATENA_GATEWAY_PORT: 'many',
      CATENA_POLL_INTERVAL_MS: '1',
      DATABASE_URL: '',
    });
    expect(await ended).toBe(1);
    for (const name of ['CATENA_GATEWAY_PORT', 'CATENA_POLL_INTERVAL_MS', 'DATABASE_URL'])
      expect(output()).toContain(name);
  });

  it('says that its port is taken, and does not start', async () => {
    const first = await start();
    const { output, ended } = launch({
      CATENA_GATEWAY_PORT: new URL(first.url).port,
      CATENA_DATA_DIR: join(dataDir, 'second'),
    });
    expect(await ended).toBe(1);
    expect(output()).toContain('set CATENA_GATEWAY_PORT to a free one');
  });
});
