import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { EVENT_TYPES } from '../apps/registry/src/webhooks/event-types.js';
import { chainOf, givenModelEndpoint, textPrompt } from './support/entries.js';
import { Receiver } from './support/receiver.js';
import { startTestRegistry, type TestRegistry } from './support/registry.js';

let registry: TestRegistry;
let receiver: Receiver;

async function mlflow(method: string, path: string, body?: unknown): Promise<any> {
  const response = await fetch(`${registry.url}/api/2.0/mlflow${path}`, {
    method,
    ...(body !== undefined && {
      body: JSON.stringify(body),
      headers: { 'content-type': 'application/json' },
    }),
  });
  const answer = await response.json();
  expect(response.status, JSON.stringify(answer)).toBe(200);
  return answer;
}

async function native(method: string, path: string, body?: unknown): Promise<any> {
  const answer = await registry.call(method, path, body);
  expect(answer.status, JSON.stringify(answer.body)).toBeLessThan(300);
  return answer.body;
}

/** Waits for so many deliveries. @returns their types, data and details, in the order they came in. */
async function told(count: number): Promise<[type: string, data: any, details?: any][]> {
  return (await receiver.has(count)).map(({ body }) =>
    body.details === undefined ? [body.type, body.data] : [body.type, body.data, body.details],
  );
}

describe('webhooks learn', () => {
  beforeAll(async () => {
    registry = await startTestRegistry();
    receiver = await Receiver.start();
    await native('POST', '/webhooks', { name: 'all', url: receiver.url, events: EVENT_TYPES });
  });
  afterAll(async () => {
    await registry.close();
    await receiver.close();
  });
  beforeEach(() => {
    receiver.received.length = 0;
  });

  it('of what MLflow’s clients do to models, with the version an alias pointed at before', async () => {
    const name = 'churn';
    await mlflow('POST', '/registered-models/create', {
      name,
      tags: [{ key: 'team', value: 'a' }],
      description: 'd',
    });
    for (const source of ['s3://bucket/1', 's3://bucket/2'])
      await mlflow('POST', '/model-versions/create', { name, source, tags: [{ key: 'x', value: '1' }] });
    await mlflow('POST', '/model-versions/set-tag', { name, version: '1', key: 'k', value: 'v' });
    await mlflow('DELETE', '/model-versions/delete-tag', { name, version: '1', key: 'k' });
    for (const version of ['1', '2'])
      await mlflow('POST', '/registered-models/alias', { name, alias: 'champion', version });
    await mlflow('DELETE', '/registered-models/alias', { name, alias: 'champion' });
    const details = { digest: expect.stringMatching(/^sha256:/) };
    const version = { name, tags: { x: '1' }, description: null, run_id: null };
    expect(await told(8)).toEqual([
      ['registered_model.created', { name, tags: { team: 'a' }, description: 'd' }],
      ['model_version.created', { ...version, version: '1', source: 's3://bucket/1' }, details],
      ['model_version.created', { ...version, version: '2', source: 's3://bucket/2' }, details],
      ['model_version_tag.set', { name, version: '1', key: 'k', value: 'v' }],
      ['model_version_tag.deleted', { name, version: '1', key: 'k' }],
      [
        'model_version_alias.created',
        { name, alias: 'champion', version: '1' },
        { previous_version: null, revision: 1 },
      ],
      [
        'model_version_alias.created',
        { name, alias: 'champion', version: '2' },
        { previous_version: '1', revision: 2 },
      ],
      ['model_version_alias.deleted', { name, alias: 'champion' }, { previous_version: '2', revision: 3 }],
    ]);
  });

  it('of prompts, natively and by MLflow', async () => {
    const [name, prompt] = ['greeting', { key: 'mlflow.prompt.is_prompt', value: 'true' }];
    await mlflow('POST', '/registered-models/create', { name, tags: [prompt] });
    const tags = [
      prompt,
      { key: 'mlflow.prompt.text', value: 'Hi {{name}}' },
      { key: '_mlflow_prompt_type', value: 'text' },
    ];
    await mlflow('POST', '/model-versions/create', { name, source: 'dummy-source', tags });
    await native('PATCH', `/prompts/${name}`, { tags: { team: 'b' } });
    await native('PATCH', `/prompts/${name}`, { tags: { team: null, absent: null } });
    await native('PUT', `/prompts/${name}/aliases/production`, { version: 1 });
    await mlflow('POST', '/model-versions/set-tag', { name, version: '1', key: 'k', value: 'v' });
    expect(await told(6)).toMatchObject([
      ['prompt.created', { name, tags: {} }],
      ['prompt_version.created', { name, version: '1', template: 'Hi {{name}}' }, {}],
      ['prompt_tag.set', { name, key: 'team', value: 'b' }],
      ['prompt_tag.deleted', { name, key: 'team' }],
      ['prompt_alias.created', { name, alias: 'production', version: '1' }, { previous_version: null }],
      ['prompt_version_tag.set', { name, version: '1', key: 'k', value: 'v' }],
    ]);
  });

  it('of chains, and of no registration that found the version it made', async () => {
    await givenModelEndpoint(registry);
    await native('POST', '/prompts', { name: 'p' });
    await native('POST', '/prompts/p/versions', { content: textPrompt() });
    await told(2);
    receiver.received.length = 0;
    await native('POST', '/chains', { name: 'support' });
    const content = chainOf('p@1');
    for (let time = 0; time < 2; time++) await native('POST', '/chains/support/versions', { content });
    await native('PUT', '/chains/support/aliases/champion', { version: 1 });
    await native('DELETE', '/chains/support/aliases/champion');
    expect((await told(4)).map(([type]) => type)).toEqual([
      'chain.created',
      'chain_version.created',
      'chain_alias.created',
      'chain_alias.deleted',
    ]);
  });

  it('of nothing that was refused', async () => {
    await native('POST', '/models', { name: 'once' });
    expect((await registry.call('POST', '/models', { name: 'once' })).status).toBe(409);
    expect((await registry.call('PUT', '/models/once/aliases/a', { version: 9 })).status).toBe(422);
    await native('POST', '/models', { name: 'last' });
    expect((await told(2)).map(([, { name }]) => name)).toEqual(['once', 'last']);
  });
});

describe('webhooks of MLflow’s protocol', () => {
  const event = { entity: 'MODEL_VERSION_ALIAS', action: 'CREATED' };
  const path = '/api/2.0/mlflow/webhooks';
  const call = async (method: string, rest = '', body?: unknown): Promise<[number, any]> => {
    const response = await fetch(`${registry.url}${path}${rest}`, {
      method,
      ...(body !== undefined && {
        body: JSON.stringify(body),
        headers: { 'content-type': 'application/json' },
      }),
    });
    return [response.status, await response.json()];
  };
  beforeAll(async () => {
    registry = await startTestRegistry();
    receiver = await Receiver.start();
  });
  afterAll(async () => {
    await registry.close();
    await receiver.close();
  });

  it.each([
    ['   ', 'Webhook URL cannot be empty or just whitespace.'],
    ['ftp://example.com', "Invalid webhook URL scheme: 'ftp'. Allowed schemes are: http, https."],
    ['http://[invalid', 'Invalid webhook URL: it must be an http or https URL.'],
  ])('refuse the URL "%s" in words that clients look for', async (url, message) => {
    const [, { webhook }] = await call('POST', '', { name: 'h', url: `${receiver.url}/`, events: [event] });
    const refusal = [400, { error_code: 'INVALID_PARAMETER_VALUE', message }];
    expect(await call('PATCH', `/${webhook.webhook_id}`, { url })).toEqual(refusal);
    expect(await call('POST', '', { name: 'h', url, events: [event] })).toEqual(refusal);
    expect((await call('GET', `/${webhook.webhook_id}`))[1]).toEqual({ webhook });
    await call('DELETE', `/${webhook.webhook_id}`);
  });

  it('are the native ones under other names', async () => {
    const given = {
      name: 'hook',
      url: `${receiver.url}/`,
      events: [event, { entity: 5, action: 1 }],
      secret: 's',
    };
    const [status, { webhook }] = await call('POST', '', { ...given, description: 'd' });
    expect([status, webhook]).toEqual([
      200,
      {
        webhook_id: expect.any(String),
        name: 'hook',
        description: 'd',
        url: `${receiver.url}/`,
        events: [event, { entity: 'PROMPT', action: 'CREATED' }],
        status: 'ACTIVE',
        creation_timestamp: expect.any(Number),
        last_updated_timestamp: webhook.creation_timestamp,
      },
    ]);
    const id = `/${webhook.webhook_id}`;
    expect(await call('GET', id)).toEqual([200, { webhook }]);
    expect(await call('GET', '?max_results=1')).toEqual([200, { webhooks: [webhook] }]);
    const [, changed] = await call('PATCH', id, { status: 'DISABLED', description: '', events: [event] });
    expect(changed.webhook).toMatchObject({ status: 'DISABLED', name: 'hook', events: [event] });
    expect((await registry.call('GET', `/webhooks${id}`)).body).toMatchObject({
      hasSecret: true,
      status: 'DISABLED',
    });
    const [, { result }] = await call('POST', `${id}/test`, { event });
    expect(result).toMatchObject({ success: true, response_status: 204 });
    expect(receiver.received.at(-1)!.body).toMatchObject({
      entity: 'model_version_alias',
      action: 'created',
    });
    expect(await call('DELETE', id)).toEqual([200, {}]);
    expect(await call('GET', id)).toEqual([
      404,
      { error_code: 'RESOURCE_DOES_NOT_EXIST', message: `Webhook with ID ${webhook.webhook_id} not found.` },
    ]);
  });

  it('leave out those that are told of chains only, which MLflow cannot name', async () => {
    await native('POST', '/webhooks', { name: 'chains', url: receiver.url, events: ['chain.created'] });
    expect(await call('GET')).toEqual([200, {}]);
  });

  it.each([
    ['no name', { name: '' }, /required parameter 'name'/],
    ['a bad name', { name: '-' }, /name '-' is invalid/],
    ['no events', { events: [] }, /required parameter 'events'/],
    ['an unknown entity', { events: [{ entity: 'RUN', action: 'CREATED' }] }, /'events\[0\]\.entity'/],
    [
      'an action the entity has not',
      { events: [{ entity: 'MODEL_VERSION', action: 'DELETED' }] },
      /Invalid action 'deleted' for entity 'model_version'. Valid actions are: \['created'\]/,
    ],
    ['a private URL', { url: 'http://10.0.0.1' }, /not a public address/],
    ['another scheme', { url: 'file:///etc/passwd' }, /Invalid webhook URL scheme: 'file'/],
    ['an unknown status', { status: 'PAUSED' }, /'status'/],
  ])('refuse %s', async (_, more, message) => {
    const [status, body] = await call('POST', '', {
      name: 'x',
      url: 'https://example.com',
      events: [event],
      ...more,
    });
    expect([status, body.error_code]).toEqual([400, 'INVALID_PARAMETER_VALUE']);
    expect(body.message).toMatch(message);
  });

  it('refuse a page that is none', async () => {
    expect((await call('GET', '?max_results=1001'))[0]).toBe(400);
    expect((await call('GET', '?page_token=abc'))[0]).toBe(400);
  });
});
