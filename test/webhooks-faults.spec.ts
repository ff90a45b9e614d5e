import { DataSource } from 'typeorm';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DeliveryRows } from '../apps/registry/src/webhooks/delivery-rows.js';
import { RegistryEvents } from '../apps/registry/src/webhooks/registry-events.js';
import { dataSourceOptions } from '../libs/platform/database/data-source.js';
import { DEFAULT_WORKSPACE_ID } from '../libs/platform/database/default-workspace.js';
import { createTestDatabase, type TestDatabase } from './support/database.js';
import { eventually, Receiver } from './support/receiver.js';
import { RegistryProcess } from './support/registry-process.js';

const TIMEOUT = { CATENA_WEBHOOK_TIMEOUT_MS: '700' };

describe('deliveries of webhooks', () => {
  let database: TestDatabase;
  let source: DataSource;
  let receiver: Receiver;
  let processes: RegistryProcess[];
  beforeEach(async () => {
    database = await createTestDatabase();
    source = await new DataSource(
      dataSourceOptions({ url: database.url, poolSize: 4, applicationName: 'test' }),
    ).initialize();
    receiver = await Receiver.start();
    processes = [];
  });
  afterEach(async () => {
    await Promise.all(processes.map((process) => process.kill()));
    await receiver.close();
    await source.destroy();
    await database.drop();
  });

  async function start(settings: Record<string, string> = TIMEOUT): Promise<RegistryProcess> {
    const process = await RegistryProcess.start(database, settings);
    processes.push(process);
    return process;
  }

  async function givenWebhook(registry: RegistryProcess, url: string): Promise<string> {
    const response = await fetch(`${registry.url}/api/v1/webhooks`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ name: 'bot', url, events: ['chain.created'] }),
    });
    expect(response.status).toBe(201);
    return ((await response.json()) as { id: string }).id;
  }

  async function created(...names: string[]): Promise<void> {
    const event = { kind: 'chain', happened: 'created', tags: {}, description: null } as const;
    for (const name of names)
      await source.transaction((tx) =>
        new RegistryEvents().record(tx, { workspaceId: DEFAULT_WORKSPACE_ID }, { ...event, name }),
      );
  }

  const pending = async (): Promise<number> => {
    const { rows } = await database.client.query(
      `SELECT count(*)::int AS count FROM webhook_delivery WHERE status = 'PENDING'`,
    );
    return rows[0].count;
  };

  it('that were under way when the registry was killed are made by the next one, under the same id', async () => {
    const first = await start();
    await givenWebhook(first, receiver.url);
    receiver.answering = (response, _, index) => void (index === 0 || response.writeHead(200).end());
    await created('a');
    await receiver.has(1);
    await first.kill();
    await created('while nobody was there');
    await start();
    const got = await receiver.has(3);
    expect(got.map(({ body }) => body.data.name)).toEqual(['a', 'a', 'while nobody was there']);
    expect(got[1]!.headers['webhook-id']).toBe(got[0]!.headers['webhook-id']);
    await eventually(async () => ((await pending()) === 0 ? true : undefined));
  });

  it('that are under way when the registry is stopped are finished, and not made twice', async () => {
    const first = await start();
    await givenWebhook(first, receiver.url);
    receiver.answering = (response) => void setTimeout(() => response.writeHead(200).end(), 400);
    await created('a');
    await receiver.has(1);
    await first.stop();
    expect(await pending()).toBe(0);
    const { rows } = await database.client.query('SELECT response_status FROM webhook_attempt');
    expect(rows).toEqual([{ response_status: 200 }]);
  });

  it('are made once each, in the order of the events, by registries that work side by side', async () => {
    const registries = [await start(), await start()];
    const paths = ['/0', '/1', '/2', '/3'];
    for (const path of paths) await givenWebhook(registries[0]!, receiver.url + path);
    receiver.answering = (response) =>
      void setTimeout(() => response.writeHead(200).end(), Math.random() * 10);
    const names = Array.from({ length: 40 }, (_, index) => `chain-${index}`);
    await created(...names);
    await receiver.has(names.length * paths.length);
    await eventually(async () => ((await pending()) === 0 ? true : undefined));
    for (const path of paths) {
      const got = receiver.received.filter(({ url }) => url === path);
      expect(got.map(({ body }) => body.data.name)).toEqual(names);
    }
  });

  it('are claimed by one of many that ask at the same moment', async () => {
    const registry = await start();
    await givenWebhook(registry, receiver.url);
    await registry.stop(); // the deliveries are this test's
    const rows = new DeliveryRows(source);
    for (let round = 0; round < 20; round++) {
      await created(`chain-${round}`);
      const claims = await Promise.all(Array.from({ length: 4 }, () => rows.claim(8, 60_000)));
      expect(claims.flat().map(({ attempt }) => attempt)).toEqual([1]);
      await database.client.query('DELETE FROM webhook_delivery');
    }
  });

  it('go to no private address that a name hides, where that is refused', async () => {
    const registry = await start({ ...TIMEOUT, CATENA_WEBHOOK_PRIVATE_HOSTS: 'refuse' });
    const id = await givenWebhook(registry, receiver.url.replace('127.0.0.1', 'localhost'));
    await created('a');
    const error = await eventually(async () => {
      const { rows } = await database.client.query('SELECT error FROM webhook_attempt');
      return rows[0]?.error as string | undefined;
    });
    expect(error).toMatch(/^"localhost" resolves to .*, not a public address/);
    const test = await fetch(`${registry.url}/api/v1/webhooks/${id}/test`, { method: 'POST' });
    expect(await test.json()).toMatchObject({ success: false });
    expect(receiver.received).toEqual([]);
  });
});
