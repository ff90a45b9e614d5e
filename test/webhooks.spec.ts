import { createHmac } from 'node:crypto';
import { Webhook } from 'standardwebhooks';
import { DataSource } from 'typeorm';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { RegistryEvents } from '../apps/registry/src/webhooks/registry-events.js';
import { DEFAULT_WORKSPACE_ID } from '../libs/platform/database/default-workspace.js';
import { everyRowContaining, memoryLogger } from './support/leaks.js';
import { eventually, Receiver } from './support/receiver.js';
import { startTestRegistry, type TestRegistry } from './support/registry.js';

const { logger, lines } = memoryLogger();
const caller = { workspaceId: DEFAULT_WORKSPACE_ID };

let registry: TestRegistry;
let receiver: Receiver;
beforeAll(async () => {
  registry = await startTestRegistry({ CATENA_WEBHOOK_TIMEOUT_MS: '700' }, logger);
});
afterAll(() => registry.close());

async function givenWebhook(more: Record<string, unknown> = {}): Promise<any> {
  const { status, body } = await registry.call('POST', '/webhooks', {
    name: 'bot',
    url: `${receiver.url}/hook`,
    events: ['chain.created'],
    ...more,
  });
  expect(status, JSON.stringify(body)).toBe(201);
  return body;
}

/** Says that chains of these names were created, each in a transaction of its own. */
async function created(...names: string[]): Promise<void> {
  for (const name of names)
    await registry.app.get(DataSource).transaction((tx) =>
      registry.app.get(RegistryEvents).record(tx, caller, {
        kind: 'chain',
        name,
        happened: 'created',
        tags: {},
        description: null,
      }),
    );
}

const deliveries = async (webhook: { id: string }, query = ''): Promise<any[]> =>
  (await registry.call('GET', `/webhooks/${webhook.id}/deliveries?limit=200${query}`)).body.items;

const settled = (webhook: { id: string }, status: string): Promise<any> =>
  eventually(async () => {
    const [last] = await deliveries(webhook);
    if (last?.status !== status) return undefined;
    return (await registry.call('GET', `/webhooks/${webhook.id}/deliveries/${last.id}`)).body;
  });

describe('webhooks', () => {
  beforeAll(async () => {
    receiver = await Receiver.start();
  });
  afterAll(() => receiver.close());
  afterEach(async () => {
    await registry.database.client.query('DELETE FROM webhook');
    receiver.received.length = 0;
    receiver.answering = (response) => response.writeHead(204).end();
  });

  it('are created, listed, changed and deleted; their secret is never shown, stored or logged', async () => {
    const secret = 'whsec_Y2F0ZW5hIGNhdGVuYSBjYXRlbmE=';
    const webhook = await givenWebhook({ secret, description: 'tells the bot' });
    expect(webhook).toEqual({
      id: expect.any(String),
      name: 'bot',
      description: 'tells the bot',
      url: `${receiver.url}/hook`,
      events: ['chain.created'],
      hasSecret: true,
      status: 'ACTIVE',
      revision: 1,
      createdAt: expect.any(String),
      createdBy: 'anonymous',
      updatedAt: webhook.createdAt,
    });
    expect((await registry.call('GET', '/webhooks')).body.items).toEqual([webhook]);
    await created('a');
    await receiver.has(1);
    expect(await everyRowContaining(registry.database.client, secret)).toEqual([]);
    expect(await everyRowContaining(registry.database.client, secret.slice(6))).toEqual([]);
    expect(lines.join('\n')).not.toContain(secret);
    const path = `/webhooks/${webhook.id}`;
    const changed = await registry.call('PATCH', path, { secret: null, name: 'robot', expectedRevision: 1 });
    expect(changed.body).toMatchObject({
      name: 'robot',
      hasSecret: false,
      description: 'tells the bot',
      revision: 2,
    });
    const late = await registry.call('PATCH', path, { name: 'late', expectedRevision: 1 });
    expect([late.status, late.body.code]).toEqual([409, 'REVISION_CONFLICT']);
    expect((await registry.call('DELETE', path)).status).toBe(204);
    expect((await registry.call('GET', path)).status).toBe(404);
    expect((await registry.call('DELETE', path)).status).toBe(404);
    expect((await registry.call('GET', '/webhooks/abc')).status).toBe(404);
  });

  it.each([
    ['no URL', { url: undefined }],
    ['another scheme', { url: 'ftp://example.com/x' }],
    ['a file', { url: 'file:///etc/passwd' }],
    ['a password', { url: 'https://me:secret@example.com/' }],
    ['a fragment', { url: 'https://example.com/#x' }],
    ['a private address', { url: 'http://10.1.2.3/' }],
    ['the address of cloud metadata', { url: 'http://169.254.169.254/latest' }],
    ['a mapped private address', { url: 'http://[::ffff:10.0.0.1]/' }],
    ['a private address in disguise', { url: 'http://0xa000001/' }],
    ['a unique local address', { url: 'http://[fd00::1]/' }],
    ['a URL too long', { url: `https://example.com/${'x'.repeat(2048)}` }],
    ['no events', { events: [] }],
    ['an unknown event', { events: ['chain.renamed'] }],
    ['an event twice', { events: ['chain.created', 'chain.created'] }],
    ['a bad name', { name: '-x-' }],
    ['an empty secret', { secret: '' }],
    ['an unknown status', { status: 'PAUSED' }],
    ['an unknown field', { retries: 3 }],
  ])('refuse %s', async (_, more) => {
    const { status, body } = await registry.call('POST', '/webhooks', {
      name: 'bot',
      url: 'https://example.com/hook',
      events: ['chain.created'],
      ...more,
    });
    expect([status, body.code]).toEqual([400, 'VALIDATION_FAILED']);
    expect(body.message).not.toContain('secret@');
  });

  it('are told what happened, signed for libraries of Standard Webhooks and for MLflow’s receivers', async () => {
    const secret = 'whsec_Y2F0ZW5hIGNhdGVuYSBjYXRlbmE=';
    const webhook = await givenWebhook({ secret });
    await created('support');
    const [got] = await receiver.has(1);
    expect(got!.body).toEqual({
      type: 'chain.created',
      entity: 'chain',
      action: 'created',
      timestamp: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00$/),
      workspace: 'default',
      data: { name: 'support', tags: {}, description: null },
    });
    const headers = got!.headers as Record<string, string>;
    expect(new Webhook(secret).verify(got!.text, headers)).toEqual(got!.body);
    expect(() => new Webhook(secret).verify(got!.text.replace('support', 'evil'), headers)).toThrow();
    const id = headers['x-mlflow-delivery-id']!;
    const signed = `${id}.${headers['x-mlflow-timestamp']}.${got!.text}`;
    expect(headers['x-mlflow-signature']).toBe(
      `v1,${createHmac('sha256', secret).update(signed).digest('base64')}`,
    );
    expect(headers['webhook-id']).toBe(id);
    expect(await settled(webhook, 'DELIVERED')).toMatchObject({
      id,
      event: 'chain.created',
      attempts: 1,
      body: got!.text,
      log: [{ number: 1, responseStatus: 204, error: null }],
    });
  });

  it('are told nothing of a change that was rolled back, nor of what they did not ask for', async () => {
    const webhook = await givenWebhook();
    await givenWebhook({ events: ['prompt.created'] });
    await givenWebhook({ status: 'DISABLED' });
    const undone = registry.app.get(DataSource).transaction(async (tx) => {
      await registry.app.get(RegistryEvents).record(tx, caller, {
        kind: 'chain',
        name: 'undone',
        happened: 'created',
        tags: {},
        description: null,
      });
      throw new Error('undone');
    });
    await expect(undone).rejects.toThrow('undone');
    await created('done');
    await settled(webhook, 'DELIVERED');
    expect(receiver.received.map(({ body }) => body.data.name)).toEqual(['done']);
  });

  it('are tried again, under the same id, until the receiver takes it; and in order', async () => {
    receiver.answering = (response, _, index) => response.writeHead(index === 0 ? 500 : 200).end('no\0t yet');
    const webhook = await givenWebhook({ secret: 'plain text' });
    await created('first', 'second', 'third');
    const got = await receiver.has(4);
    expect(got.map(({ body }) => body.data.name)).toEqual(['first', 'first', 'second', 'third']);
    expect(new Set(got.slice(0, 2).map(({ headers }) => headers['webhook-id'])).size).toBe(1);
    for (const { text, headers } of got)
      new Webhook('plain text', { format: 'raw' }).verify(text, headers as Record<string, string>);
    await eventually(async () =>
      (await deliveries(webhook, '&status=DELIVERED')).length === 3 ? true : undefined,
    );
    const first = (await deliveries(webhook)).at(-1);
    const { body } = await registry.call('GET', `/webhooks/${webhook.id}/deliveries/${first.id}`);
    expect(body.log.map((line: any) => line.responseStatus)).toEqual([500, 200]);
    expect(body.log[0].responseExcerpt).toBe('no\u{FFFD}t yet');
  });

  it('wait as long as the receiver asks for', async () => {
    receiver.answering = (response, _, index) =>
      index === 0 ? response.writeHead(429, { 'retry-after': '2' }).end() : response.writeHead(200).end();
    await givenWebhook();
    await created('a');
    const [first, second] = await receiver.has(2);
    expect(second!.at - first!.at).toBeGreaterThanOrEqual(1_900);
  });

  it('survive a receiver that is down, and one that hangs', async () => {
    const port = receiver.port;
    await receiver.close();
    const webhook = await givenWebhook();
    await created('a');
    await eventually(async () => ((await deliveries(webhook))[0]?.attempts > 0 ? true : undefined));
    receiver = await Receiver.start(port);
    receiver.answering = (response, _, index) => void (index === 0 || response.writeHead(200).end());
    await receiver.has(2);
    const { log } = await settled(webhook, 'DELIVERED');
    const errors = log.map((line: any) => line.error);
    expect(errors[0]).toMatch(/ECONNREFUSED/);
    expect(errors).toContain('no answer within 700 ms');
    expect(errors.at(-1)).toBeNull();
  });

  it('follow no redirect', async () => {
    const elsewhere = await Receiver.start();
    receiver.answering = (response) => response.writeHead(307, { location: elsewhere.url }).end();
    const webhook = await givenWebhook();
    await created('a');
    await receiver.has(1);
    const log = await eventually(async () => {
      const [{ id, status }] = await deliveries(webhook);
      expect(status).toBe('PENDING');
      const { body } = await registry.call('GET', `/webhooks/${webhook.id}/deliveries/${id}`);
      return body.log.length > 0 ? body.log : undefined;
    });
    expect(log[0]).toMatchObject({ responseStatus: 307, error: null });
    expect(elsewhere.received).toEqual([]);
    await elsewhere.close();
  });

  it('are disabled by a receiver that is gone, and can be told again what it missed', async () => {
    receiver.answering = (response) => response.writeHead(410).end();
    const webhook = await givenWebhook();
    await created('a');
    const failed = await settled(webhook, 'FAILED');
    await eventually(async () =>
      (await registry.call('GET', `/webhooks/${webhook.id}`)).body.status === 'DISABLED' ? true : undefined,
    );
    await created('unheard of');
    const path = `/webhooks/${webhook.id}/deliveries/${failed.id}/redeliver`;
    expect(await registry.call('POST', path)).toMatchObject({
      status: 202,
      body: { status: 'PENDING', attempts: 1 },
    });
    receiver.answering = (response) => response.writeHead(200).end();
    await registry.call('PATCH', `/webhooks/${webhook.id}`, { status: 'ACTIVE' });
    const again = await settled(webhook, 'DELIVERED');
    expect([again.id, again.attempts, again.log.length]).toEqual([failed.id, 2, 2]);
    expect(receiver.received.map(({ headers }) => headers['webhook-id'])).toEqual([failed.id, failed.id]);
  });

  it('are tested with an example of any event', async () => {
    const webhook = await givenWebhook({ secret: 'abc' });
    const test = (body: unknown) => registry.call('POST', `/webhooks/${webhook.id}/test`, body);
    expect(await test({})).toMatchObject({
      status: 200,
      body: { success: true, responseStatus: 204, error: null },
    });
    await test({ event: 'model_version_alias.created' });
    expect(receiver.received[1]!.body).toMatchObject({
      data: { name: 'example_model', alias: 'example_alias', version: '2' },
      details: { previous_version: '1', revision: 2 },
    });
    await test({ event: 'model_version.created' });
    expect(receiver.received[2]!.body.data).toEqual({
      name: 'example_model',
      version: '1',
      source: 'models:/123',
      run_id: 'abcd1234abcd5678',
      tags: { example_key: 'example_value' },
      description: 'An example model version',
    });
    receiver.answering = (response) => void response.destroy();
    expect((await test({})).body).toMatchObject({
      success: false,
      error: expect.stringMatching(/closed|reset|hang up/i),
    });
    receiver.answering = () => undefined;
    expect((await test({})).body).toMatchObject({
      success: false,
      responseStatus: null,
      error: 'no answer within 700 ms',
    });
    expect((await test({ event: 'chain.renamed' })).status).toBe(400);
    expect(await deliveries(webhook)).toEqual([]);
  });

  it('give their deliveries page by page, newest first', async () => {
    receiver.answering = (response) => response.writeHead(500).end();
    const webhook = await givenWebhook();
    await created('a', 'b', 'c');
    const page = (cursor = '') => registry.call('GET', `/webhooks/${webhook.id}/deliveries?limit=2${cursor}`);
    const first = (await page()).body;
    const second = (await page(`&cursor=${first.nextCursor}`)).body;
    expect([first.items.length, second.items.length, second.nextCursor]).toEqual([2, 1, null]);
    expect((await page('&cursor=abc')).body.code).toBe('INVALID_CURSOR');
    expect((await registry.call('GET', `/webhooks/${webhook.id}/deliveries/abc`)).status).toBe(404);
  });
});
