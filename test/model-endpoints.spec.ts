import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SecretBox } from '../libs/platform/secrets/secret-box.js';
import { startTestRegistry, TEST_ENCRYPTION_KEYS, type TestRegistry } from './support/registry.js';
import { everyRowContaining, memoryLogger } from './support/leaks.js';

const MODEL_ENDPOINT = {
  name: 'gpu',
  protocol: 'openai',
  replicas: [{ baseUrl: 'http://127.0.0.1:8000/v1/' }],
  models: ['llama-8b'],
};

describe('model endpoints', () => {
  let registry: TestRegistry;
  const { logger, lines } = memoryLogger();
  let count = 0;
  const create = (fields: object = {}) =>
    registry.call('POST', '/model-endpoints', { ...MODEL_ENDPOINT, name: `gpu-${++count}`, ...fields });
  const changes = async (id: string): Promise<number> =>
    (
      await registry.database.client.query(
        `SELECT count(*)::integer AS n FROM change WHERE noun = 'model_endpoint' AND noun_id = $1`,
        [id],
      )
    ).rows[0].n;

  beforeAll(async () => {
    registry = await startTestRegistry({}, logger);
  });
  afterAll(() => registry.close());

  it('are created with defaults, normalised URLs and a revision, and are read back the same', async () => {
    const { status, body } = await create({ name: 'defaults' });
    expect(status).toBe(201);
    expect(body).toMatchObject({
      name: 'defaults',
      description: null,
      replicas: [{ id: expect.any(String), baseUrl: 'http://127.0.0.1:8000/v1' }],
      prices: { inputMicroUsdPerMillionTokens: 0, outputMicroUsdPerMillionTokens: 0 },
      maxConcurrencyPerReplica: 32,
      hasCredential: false,
      revision: 1,
      createdBy: 'anonymous',
      archivedAt: null,
    });
    expect((await registry.call('GET', '/model-endpoints/defaults')).body).toEqual(body);
  });

  it('speak a protocol in one of its versions, which can be changed and cleared', async () => {
    for (const protocol of ['openai', 'azure-openai', 'anthropic'])
      expect((await create({ protocol })).body).toMatchObject({ protocol, apiVersion: null });
    const { body } = await create({ protocol: 'azure-openai', apiVersion: '2025-04-01-preview' });
    expect(body.apiVersion).toBe('2025-04-01-preview');
    const patch = async (fields: object) =>
      (await registry.call('PATCH', `/model-endpoints/${body.name}`, fields)).body;
    expect((await patch({ apiVersion: '2024-10-21' })).apiVersion).toBe('2024-10-21');
    expect((await patch({ models: ['other'] })).apiVersion).toBe('2024-10-21');
    expect((await patch({ apiVersion: null })).apiVersion).toBeNull();
    for (const apiVersion of ['', 'a b', 'x&y=1', 'x\r\ny: z', 'v'.repeat(65), 3])
      expect((await create({ protocol: 'anthropic', apiVersion })).status).toBe(400);
  });

  it('say how they are asked for structured output, in a way their protocol knows', async () => {
    const { body } = await create();
    expect(body.structuredOutput).toBe('response_format');
    const patch = (name: string, structuredOutput: unknown) =>
      registry.call('PATCH', `/model-endpoints/${name}`, { structuredOutput });
    for (const way of ['structured_outputs', 'json_object', 'prompt', 'response_format'])
      expect((await patch(body.name, way)).body.structuredOutput).toBe(way);
    const claude = await create({ protocol: 'anthropic', structuredOutput: 'prompt' });
    expect(claude.body.structuredOutput).toBe('prompt');
    for (const way of ['structured_outputs', 'json_object'])
      for (const answer of [
        await create({ protocol: 'anthropic', structuredOutput: way }),
        await patch(claude.body.name, way),
      ])
        expect([answer.status, answer.body.code, answer.body.details]).toEqual([
          400,
          'VALIDATION_FAILED',
          [{ path: '/structuredOutput', message: expect.stringContaining('response_format, prompt') }],
        ]);
    for (const way of ['guided_json', '', null, 1])
      expect((await create({ structuredOutput: way })).status).toBe(400);
  });

  it('tell the gateways of every change, once', async () => {
    const { id, name } = (await create()).body;
    expect(await changes(id)).toBe(1);
    await registry.call('PATCH', `/model-endpoints/${name}`, { models: ['a', 'b'] });
    expect(await changes(id)).toBe(2);
    await registry.call('POST', `/model-endpoints/${name}/archive`);
    await registry.call('POST', `/model-endpoints/${name}/archive`);
    expect(await changes(id)).toBe(3);
    await registry.call('POST', `/model-endpoints/${name}/restore`);
    expect(await changes(id)).toBe(4);
  });

  it('seal the credential: its plain text is in no table, no answer and no log, and only its own row opens it', async () => {
    const secret = `sk-${'plain-text-that-must-not-leak'.repeat(2)}`;
    const patched = `${secret}-patched`;
    const answers: { status: number; body: unknown }[] = [];
    const send = async (method: string, path: string, body?: object) =>
      answers.push(await registry.call(method, `/model-endpoints${path}`, body));
    const secretive = { ...MODEL_ENDPOINT, name: 'secretive', credential: secret };
    await send('POST', '', secretive);
    await send('POST', '', secretive);
    await send('POST', '', { ...secretive, credential: `${secret} with a space` });
    await send('POST', '', { ...secretive, protocol: 'telepathy' });
    await send('PATCH', '/secretive', { credential: patched });
    await send('GET', '/secretive');
    await send('GET', '');
    // An error on our side is logged with all its particulars, the statement's parameters too.
    await registry.database.client.query('ALTER TABLE model_endpoint RENAME COLUMN models TO gone');
    await send('POST', '', { ...secretive, name: 'unlucky' });
    await registry.database.client.query('ALTER TABLE model_endpoint RENAME COLUMN gone TO models');
    expect(answers.map((answer) => answer.status)).toEqual([201, 409, 400, 400, 200, 200, 200, 500]);
    expect(JSON.stringify(answers)).not.toContain(secret);
    expect(lines.join('')).toContain('unlucky');
    expect(lines.join('')).not.toContain(secret);
    expect(await everyRowContaining(registry.database.client, secret)).toEqual([]);

    const { rows } = await registry.database.client.query(
      `SELECT id, credential_ciphertext AS ciphertext, credential_key_id AS "keyId" FROM model_endpoint WHERE name = 'secretive'`,
    );
    const box = new SecretBox(TEST_ENCRYPTION_KEYS);
    expect(box.open(rows[0], `model-endpoint:${rows[0].id}`)).toBe(patched);
    expect(() => box.open(rows[0], 'model-endpoint:another')).toThrow();
  });

  it('keep the credential unless it is sent; null clears it', async () => {
    const { name } = (await create({ credential: 'sk-1', description: 'text' })).body;
    const path = `/model-endpoints/${name}`;
    expect((await registry.call('PATCH', path, { description: 'other' })).body.hasCredential).toBe(true);
    expect((await registry.call('PATCH', path, { credential: null, description: null })).body).toMatchObject({
      hasCredential: false,
      description: null,
      revision: 3,
    });
  });

  it('replace the replicas as a whole; one that stays keeps its id', async () => {
    const { name, replicas } = (
      await create({ replicas: [{ baseUrl: 'http://a/v1' }, { baseUrl: 'http://b/v1' }] })
    ).body;
    const { body } = await registry.call('PATCH', `/model-endpoints/${name}`, {
      replicas: [{ baseUrl: 'https://c:8443' }, { baseUrl: 'http://a/v1/' }],
    });
    expect(body.replicas.map((replica: any) => replica.baseUrl)).toEqual(['https://c:8443', 'http://a/v1']);
    expect(body.replicas[1].id).toBe(replicas[0].id);
  });

  it('are changed by compare-and-set where a revision is expected', async () => {
    const { name } = (await create()).body;
    const path = `/model-endpoints/${name}`;
    const patches = Array.from({ length: 10 }, (_, i) =>
      registry.call('PATCH', path, { maxConcurrencyPerReplica: i + 1, expectedRevision: 1 }),
    );
    const answers = await Promise.all(patches);
    expect(answers.filter((answer) => answer.status === 200)).toHaveLength(1);
    const lost = answers.find((answer) => answer.status === 409)!;
    expect(lost.body).toMatchObject({
      code: 'REVISION_CONFLICT',
      details: { expectedRevision: 1, currentRevision: 2, current: { name, revision: 2 } },
    });
  });

  it('are listed by name, by prefix, in pages, archived ones only when asked for', async () => {
    for (const name of ['list-c', 'list-a', 'list-B', 'list-gone']) await create({ name });
    await registry.call('POST', '/model-endpoints/list-gone/archive');
    const first = (await registry.call('GET', '/model-endpoints?prefix=list-&limit=2')).body;
    const second = (
      await registry.call('GET', `/model-endpoints?prefix=list-&limit=2&cursor=${first.nextCursor}`)
    ).body;
    const names = [...first.items, ...second.items].map((item: any) => item.name);
    expect(names).toEqual(['list-B', 'list-a', 'list-c']);
    expect(second.nextCursor).toBeNull();
    const all = await registry.call('GET', '/model-endpoints?prefix=list-&includeArchived=true');
    expect(all.body.items).toHaveLength(4);
  });

  it('refuse changes while archived', async () => {
    const { name } = (await create()).body;
    await registry.call('POST', `/model-endpoints/${name}/archive`);
    const { status, body } = await registry.call('PATCH', `/model-endpoints/${name}`, { models: ['x'] });
    expect([status, body.code]).toEqual([409, 'ARCHIVED']);
  });

  it('keep their names to themselves, also under 20 parallel creations', async () => {
    const answers = await Promise.all(Array.from({ length: 20 }, () => create({ name: 'taken' })));
    const statuses = answers.map((answer) => answer.status);
    expect(statuses.filter((status) => status === 201)).toHaveLength(1);
    expect(statuses.filter((status) => status === 409)).toHaveLength(19);
  });

  it.each([
    ['no name', { name: undefined }, /name/],
    ['a name with a slash', { name: 'a/b' }, /letters, digits/],
    ['a name with NUL', { name: 'a\0b' }, /NUL/],
    ['a name of 129 characters', { name: 'x'.repeat(129) }, /128 characters/],
    ['another protocol', { protocol: 'grpc' }, /openai/],
    ['no replica', { replicas: [] }, /at least 1/],
    ['65 replicas', { replicas: Array.from({ length: 65 }, (_, i) => ({ baseUrl: `http://h${i}` })) }, /64/],
    ['replicas null', { replicas: null }, /must be an array/],
    ['a list as replica', { replicas: [[]] }, /object with a baseUrl/],
    ['null as replica', { replicas: [null] }, /object with a baseUrl/],
    ['a replica twice', { replicas: [{ baseUrl: 'http://a/v1' }, { baseUrl: 'http://A/v1/' }] }, /twice/],
    ['a URL with credentials', { replicas: [{ baseUrl: 'http://u:p@a/' }] }, /without user, password/],
    ['a URL with a query', { replicas: [{ baseUrl: 'http://a/?k=1' }] }, /query/],
    ['a URL with a fragment', { replicas: [{ baseUrl: 'http://a/#x' }] }, /fragment/],
    ['another scheme', { replicas: [{ baseUrl: 'file:///etc/passwd' }] }, /http or https/],
    ['no URL', { replicas: [{ baseUrl: 7 }] }, /http or https/],
    ['no model', { models: [] }, /at least 1/],
    ['an empty model', { models: [''] }, /longer than or equal to 1/],
    ['a model twice', { models: ['a', 'a'] }, /twice/],
    ['models as text', { models: 'a' }, /must be an array/],
    ['a negative price', { prices: { inputMicroUsdPerMillionTokens: -1 } }, /not be less than 0/],
    ['a broken price', { prices: { inputMicroUsdPerMillionTokens: 0.5 } }, /integer/],
    ['a price beyond the integers', { prices: { outputMicroUsdPerMillionTokens: 1e300 } }, /not be greater/],
    ['prices null', { prices: null }, /object/],
    ['an unknown price', { prices: { perHour: 1 } }, /unknown field/],
    ['no concurrency', { maxConcurrencyPerReplica: 0 }, /not be less than 1/],
    ['a credential with a line break', { credential: 'a\r\nx: y' }, /visible ASCII/],
    ['an empty credential', { credential: '' }, /visible ASCII/],
    ['an unknown field', { colour: 'red' }, /unknown field/],
  ])('refuse %s with a 400 that says how to mend it', async (_, fields, message) => {
    const { status, body } = await create(fields);
    expect([status, body.code]).toEqual([400, 'VALIDATION_FAILED']);
    expect(body.message).toMatch(message);
  });

  it('are registered as the README says: vLLM, Ollama, OpenAI, Anthropic', async () => {
    const readme = await readFile('README.md', 'utf8');
    const [, part = ''] = readme.split('## Real models');
    const bodies = [...part.matchAll(/^post model-endpoints '(\{.*?\})'$/gms)].map(([, body]) =>
      body!.replaceAll(/'"\$\w+"'/g, 'sk-test'),
    );
    expect(bodies).toHaveLength(4);
    for (const body of bodies) {
      const answer = await registry.call('POST', '/model-endpoints', body);
      expect([answer.status, answer.body.message]).toEqual([201, undefined]);
    }
  });

  it('refuse a body that is not an object', async () => {
    for (const body of ['[]', '[[]]', '"text"', '7', 'null', ''])
      expect([body, (await registry.call('POST', '/model-endpoints', body)).status]).toEqual([body, 400]);
  });

  it('answer 404 for a name that nobody has', async () => {
    for (const [method, path, body] of [
      ['GET', 'nobody', undefined],
      ['PATCH', 'nobody', {}],
      ['POST', 'nobody/archive', undefined],
      ['POST', 'nobody/restore', undefined],
      ['GET', encodeURIComponent('ünïcode/..'), undefined],
    ] as const)
      expect((await registry.call(method, `/model-endpoints/${path}`, body)).status).toBe(404);
  });
});
