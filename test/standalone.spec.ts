import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from 'vitest';
import { createTestDatabase } from './support/database.js';
import { Launched, processesNaming } from './support/launched.js';

let directory: string;
let data: string;
const launched: Launched[] = [];

function launch(environment: Record<string, string> = {}, args = ['start']): Launched {
  const launcher = new Launched(args, { CATENA_DATA_DIR: data, ...environment });
  launched.push(launcher);
  return launcher;
}

async function createPrompt(registry: string, name: string): Promise<number> {
  const response = await fetch(`${registry}/api/v1/prompts`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ name }),
  });
  return response.status;
}

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'catena-standalone-'));
  data = join(directory, 'data');
});
afterEach(async () => {
  for (const launcher of launched.splice(0)) {
    if (launcher.process.exitCode === null && launcher.process.signalCode === null)
      launcher.signal('SIGTERM');
    await launcher.ended;
  }
});
afterAll(async () => rm(directory, { recursive: true, force: true }));

describe.skipIf(process.platform !== 'linux')('npm start', { timeout: 90_000 }, () => {
  // The first three share one data directory: what one leaves behind, the next finds.
  it('starts the stack, refuses a second launcher on its data, and stops every child on SIGTERM', async () => {
    const launcher = launch();
    const { registry, gateway } = await launcher.urls();
    expect((await fetch(`${registry}/readyz`)).status).toBe(200);
    expect((await fetch(`${gateway}/readyz`)).status).toBe(200);
    expect(await createPrompt(registry, 'kept')).toBe(201);
    expect((await stat(join(data, 'encryption-keys'))).mode & 0o777).toBe(0o600);
    expect((await stat(join(data, 's3'))).mode & 0o777).toBe(0o700);
    expect(processesNaming(data).length).toBeGreaterThan(4); // launcher, stores, registry, gateway, PostgreSQL

    const second = launch();
    expect(await second.ended).toBe(1);
    expect(second.output).toContain(`${data} is in use by another Catena`);
    expect((await fetch(`${registry}/readyz`)).status).toBe(200);

    launcher.signal('SIGTERM');
    expect(await launcher.ended).toBe(0);
    expect(processesNaming(data)).toEqual([]);
    expect(launcher.output).not.toMatch(/"level":(50|60)/);
  });

  it('keeps its data, starts the gateway again when it dies, and leaves nothing running after kill -9', async () => {
    const key = await readFile(join(data, 'encryption-keys'), 'utf8');
    const launcher = launch();
    const { registry, gateway } = await launcher.urls();
    expect(await createPrompt(registry, 'kept')).toBe(409);
    expect(await createPrompt(registry, 'kept-too')).toBe(201);
    expect(await readFile(join(data, 'encryption-keys'), 'utf8')).toBe(key);

    const old = processesNaming(data).find((pid) => commandLine(pid).includes('apps/gateway/src/main.js'));
    process.kill(Number(old), 'SIGKILL');
    await launcher.says(/The gateway has ended \(signal SIGKILL\); it starts again in 0\.5 s/);
    const status = () =>
      fetch(`${gateway}/readyz`).then(
        (response) => response.status,
        () => 0,
      );
    await expect.poll(status, { timeout: 20_000 }).toBe(200);

    launcher.signal('SIGKILL');
    await launcher.ended;
    await expect.poll(() => processesNaming(data), { timeout: 15_000, interval: 100 }).toEqual([]);
  });

  it('has its data after kill -9, and stops with a message when PostgreSQL dies', async () => {
    const launcher = launch();
    const { registry } = await launcher.urls();
    expect(await createPrompt(registry, 'kept-too')).toBe(409);
    const file = await readFile(join(data, 'postgres', 'postmaster.pid'), 'utf8');
    process.kill(Number(file.split('\n')[0]), 'SIGKILL');
    expect(await launcher.ended).toBe(1);
    expect(launcher.output).toContain('PostgreSQL has ended by itself');
    expect(processesNaming(data)).toEqual([]);
  });

  it('names a busy port and the variable that moves it, and leaves nothing running', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as { port: number };
    const other = join(directory, 'busy');
    const launcher = launch({ CATENA_GATEWAY_PORT: String(port), CATENA_DATA_DIR: other });
    expect(await launcher.ended).toBe(1);
    expect(launcher.output).toContain(`Port ${port} on 127.0.0.1 is in use`);
    expect(launcher.output).toContain('CATENA_GATEWAY_PORT');
    expect(processesNaming(other)).toEqual([]);
    await new Promise((resolve) => server.close(resolve));
  });

  it('refuses one port for both registry and gateway, and leaves nothing running', async () => {
    const { port } = await new Promise<{ port: number }>((resolve) => {
      const server = createServer().listen(0, '127.0.0.1', () => {
        const address = server.address() as { port: number };
        server.close(() => resolve(address));
      });
    });
    const other = join(directory, 'one-port');
    const launcher = launch({
      CATENA_DATA_DIR: other,
      CATENA_REGISTRY_PORT: String(port),
      CATENA_GATEWAY_PORT: String(port),
    });
    expect(await launcher.ended).toBe(1);
    expect(launcher.output).toContain(`CATENA_REGISTRY_PORT and CATENA_GATEWAY_PORT are both ${port}`);
    expect(processesNaming(other)).toEqual([]);
  });

  it('says which setting is wrong when the database it is given cannot be reached', async () => {
    const other = join(directory, 'no-database');
    const launcher = launch({
      CATENA_DATA_DIR: other,
      DATABASE_URL: 'postgres://someone:secret-word@127.0.0.1:1/none',
    });
    expect(await launcher.ended).toBe(1);
    expect(launcher.output).toContain('DATABASE_URL');
    expect(launcher.output).not.toContain('secret-word');
    expect(launcher.output).not.toContain('triggerUncaughtException');
    expect(processesNaming(other)).toEqual([]);
  });

  it('uses the database and the object store it is given, and starts none', async () => {
    const database = await createTestDatabase();
    const other = join(directory, 'external');
    const launcher = launch({
      CATENA_DATA_DIR: other,
      DATABASE_URL: database.url,
      S3_ENDPOINT: inject('s3Endpoint'),
      AWS_ACCESS_KEY_ID: 'S3RVER',
      AWS_SECRET_ACCESS_KEY: 'S3RVER',
    });
    const { registry } = await launcher.urls();
    expect(await createPrompt(registry, 'elsewhere')).toBe(201);
    const { rows } = await database.client.query(`SELECT name FROM entry`);
    expect(rows).toEqual([{ name: 'elsewhere' }]);
    expect(processesNaming(other)).toHaveLength(3); // launcher, registry, gateway
    await expect(stat(join(other, 'postgres'))).rejects.toThrow();
    launcher.signal('SIGINT');
    expect(await launcher.ended).toBe(0);
    await database.drop();
  });

  it('lists every bad setting at once', async () => {
    const launcher = launch({
      CATENA_REGISTRY_PORT: 'x',
      CATENA_GATWAY_PORT: '1',
      S3_ENDPOINT: 'http://127.0.0.1:1',
    });
    expect(await launcher.ended).toBe(1);
    for (const part of [
      'CATENA_REGISTRY_PORT',
      'CATENA_GATWAY_PORT: there is no such',
      'AWS_ACCESS_KEY_ID: must be set',
    ])
      expect(launcher.output).toContain(part);
  });
});

function commandLine(pid: string): string {
  return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
}
