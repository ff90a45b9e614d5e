import { createHash } from 'node:crypto';
import { request } from 'undici';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { chainOf, givenEntry, givenModelEndpoint, givenVersion, textPrompt } from './support/entries.js';
import { startTestRegistry, type Answer, type TestRegistry } from './support/registry.js';

let registry: TestRegistry;
beforeAll(async () => {
  registry = await startTestRegistry();
  await givenModelEndpoint(registry);
});
afterAll(() => registry.close());

const call: TestRegistry['call'] = (...args) => registry.call(...args);

describe('an entry', () => {
  it.each(['prompts', 'models', 'chains'])(
    'is created, read and refused a second time among %s',
    async (kinds) => {
      const created = await call(
        'POST',
        `/${kinds}`,
        { name: 'same-name', description: 'd', tags: { a: 'b' } },
        {
          'x-catena-actor': 'ada',
        },
      );
      expect(created.status).toBe(201);
      expect(created.body).toMatchObject({
        kind: kinds.slice(0, -1),
        name: 'same-name',
        description: 'd',
        tags: { a: 'b' },
        latestVersion: null,
        aliases: {},
        createdBy: 'ada',
        archivedAt: null,
      });
      expect((await call('GET', `/${kinds}/same-name`)).body).toEqual(created.body);
      const again = await call('POST', `/${kinds}`, { name: 'same-name' });
      expect([again.status, again.body.code]).toEqual([409, 'ALREADY_EXISTS']);
    },
  );

  it('keeps what a patch does not name, merges tags, and clears with null', async () => {
    await call('POST', '/prompts', { name: 'patched', description: 'one', tags: { a: '1', b: '2' } });
    const first = await call('PATCH', '/prompts/patched', { tags: { b: null, c: '3' } });
    expect(first.body).toMatchObject({ description: 'one', tags: { a: '1', c: '3' } });
    const second = await call('PATCH', '/prompts/patched', { description: null });
    expect(second.body).toMatchObject({ description: null, tags: { a: '1', c: '3' } });
    const third = await call('PATCH', '/prompts/patched', { tags: null });
    expect(third.body.tags).toEqual({});
  });

  it('is archived and restored any number of times, and refuses versions and alias moves meanwhile', async () => {
    await givenVersion(registry, 'prompts', 'sleeper', textPrompt('one'));
    const archived = await call('POST', '/prompts/sleeper/archive');
    expect(archived.status).toBe(200);
    expect(archived.body.archivedAt).not.toBeNull();
    expect((await call('POST', '/prompts/sleeper/archive')).body.archivedAt).toBe(archived.body.archivedAt);

    const version = await call('POST', '/prompts/sleeper/versions', { content: textPrompt('two') });
    expect([version.status, version.body.code]).toEqual([409, 'ARCHIVED']);
    expect(version.body.message).toContain('/api/v1/prompts/sleeper/restore');
    const alias = await call('PUT', '/prompts/sleeper/aliases/champion', { version: 1 });
    expect([alias.status, alias.body.code]).toEqual([409, 'ARCHIVED']);

    const names = async (query: string) =>
      (await call('GET', `/prompts?prefix=sleeper${query}`)).body.items.map((item: any) => item.name);
    expect(await names('')).toEqual([]);
    expect(await names('&includeArchived=true')).toEqual(['sleeper']);

    for (let i = 0; i < 2; i++)
      expect((await call('POST', '/prompts/sleeper/restore')).body.archivedAt).toBeNull();
    expect(
      (await call('POST', '/prompts/sleeper/versions', { content: textPrompt('two') })).body.version,
    ).toBe(2);
  });
});

describe('searching', () => {
  const search = async (query: string): Promise<string[]> => {
    const { status, body } = await call('GET', `/models?${query}`);
    expect(status, JSON.stringify(body)).toBe(200);
    return body.items.map((item: any) => item.name);
  };
  beforeAll(async () => {
    for (const [name, tags] of [
      ['find-a', { team: 'x', tier: 'gold' }],
      ['find-b', { team: 'y', tier: 'gold' }],
      ['find-c', { team: 'x:y' }],
      ['Find-d', { team: 'x' }],
      ['other', { team: 'x' }],
    ] as const)
      await call('POST', '/models', { name, tags });
    await givenVersion(registry, 'models', 'find-b', { format: 'hosted', model: 'm' });
    await call('PUT', '/models/find-b/aliases/champion', { version: 1 });
    await call('PUT', '/models/find-b/aliases/gone', { version: 1 });
    await call('DELETE', '/models/find-b/aliases/gone');
  });

  it.each([
    ['prefix=find', ['find-a', 'find-b', 'find-c']],
    ['prefix=%25', []],
    ['prefix=find_', []],
    ['tag=team:x', ['Find-d', 'find-a', 'other']],
    ['tag=team:x&tag=tier:gold', ['find-a']],
    ['tag=team:x&tag=team:y', []],
    ['tag=tier', ['find-a', 'find-b']],
    ['tag=team:x:y', ['find-c']],
    ['alias=champion', ['find-b']],
    ['alias=gone', []],
    ['prefix=find&tag=tier:gold&alias=champion', ['find-b']],
  ])('by %s finds %j', async (query, names) => {
    expect(await search(query)).toEqual(names);
  });

  it('shows every name once, in order, while others are created between the pages', async () => {
    const before = Array.from({ length: 25 }, (_, i) => `page-${String(i).padStart(2, '0')}`);
    for (const name of before) await givenEntry(registry, 'chains', name);
    const seen: string[] = [];
    let cursor: string | null = '';
    for (let page = 0; cursor !== null; page++) {
      const { body }: Answer = await call(
        'GET',
        `/chains?prefix=page-&limit=4${cursor && `&cursor=${encodeURIComponent(cursor)}`}`,
      );
      expect(body.items.length).toBeLessThanOrEqual(4);
      seen.push(...body.items.map((item: any) => item.name));
      cursor = body.nextCursor;
      await givenEntry(registry, 'chains', `page-00-late-${page}`); // before what was shown
    }
    expect(seen.filter((name) => !name.includes('late'))).toEqual(before);
    expect(seen).toEqual([...seen].sort());
    expect(new Set(seen).size).toBe(seen.length);
  });

  it('pages through versions newest first, unmoved by new ones', async () => {
    for (let i = 1; i <= 7; i++) await givenVersion(registry, 'prompts', 'paged', textPrompt(`text ${i}`));
    const first = (await call('GET', '/prompts/paged/versions?limit=3')).body;
    await givenVersion(registry, 'prompts', 'paged', textPrompt('text 8'));
    const second = (await call('GET', `/prompts/paged/versions?limit=3&cursor=${first.nextCursor}`)).body;
    const third = (await call('GET', `/prompts/paged/versions?limit=3&cursor=${second.nextCursor}`)).body;
    expect([...first.items, ...second.items, ...third.items].map((item: any) => item.version)).toEqual([
      7, 6, 5, 4, 3, 2, 1,
    ]);
    expect(third.nextCursor).toBeNull();
    expect(first.items[0]).not.toHaveProperty('content');
  });
});

describe('a version', () => {
  it('is answered with its content, digest, message and the aliases that point at it', async () => {
    await givenEntry(registry, 'prompts', 'whole');
    const content = { type: 'chat', messages: [{ role: 'system', content: 'Grüße, 😀' }, '{{messages}}'] };
    const { status, body } = await call('POST', '/prompts/whole/versions', { content, message: 'first' });
    expect(status).toBe(201);
    expect(body).toMatchObject({
      kind: 'prompt',
      name: 'whole',
      version: 1,
      content,
      message: 'first',
      aliases: [],
    });
    await call('PUT', '/prompts/whole/aliases/staging', { version: 1 });
    await call('PUT', '/prompts/whole/aliases/champion', { version: 1 });
    const read = await call('GET', '/prompts/whole/versions/1');
    expect(read.body).toEqual({ ...body, aliases: ['champion', 'staging'] });
    expect((await call('GET', '/prompts/whole')).body).toMatchObject({
      latestVersion: 1,
      aliases: { champion: 1, staging: 1 },
    });
  });

  it('serves exactly the bytes its digest is over, with the digest as ETag', async () => {
    const { digest } = await givenVersion(registry, 'models', 'bytes', {
      model: 'm',
      format: 'hosted',
      metadata: { 'ü€😀': [1.0, 1e21, -0, 'a"b\n'], constructor: { toString: 1 }, b: null, a: {} },
    });
    const response = await fetch(`${registry.url}/api/v1/models/bytes/versions/1/content`);
    const bytes = Buffer.from(await response.arrayBuffer());
    expect(`sha256:${createHash('sha256').update(bytes).digest('hex')}`).toBe(digest);
    expect(response.headers.get('etag')).toBe(`"${digest}"`);
    expect(response.headers.get('content-type')).toContain('application/json');
    expect(bytes.toString()).toBe(
      '{"format":"hosted","metadata":{"a":{},"b":null,"constructor":{"toString":1},"ü€😀":[1,1e+21,0,"a\\"b\\n"]},"model":"m"}',
    );
    // Not fetch: it adds `cache-control: no-cache` to conditional requests.
    const cached = await request(response.url, { headers: { 'if-none-match': `"${digest}"` } });
    expect(cached.statusCode).toBe(304);
    await cached.body.dump();
  });

  it('is found again when the same content is registered, however it is spelled', async () => {
    await givenEntry(registry, 'models', 'again');
    const first = await call('POST', '/models/again/versions', { content: { format: 'hosted', model: 'm' } });
    const second = await call(
      'POST',
      '/models/again/versions',
      '{"content":{"model":"\\u006d" , "format":"hosted"}}',
    );
    expect([first.status, second.status]).toEqual([201, 200]);
    expect(second.body).toEqual(first.body);
  });

  it('keeps its number for ever: archiving and registering again issues no number twice', async () => {
    const one = await givenVersion(registry, 'prompts', 'numbers', textPrompt('one'));
    await givenVersion(registry, 'prompts', 'numbers', textPrompt('two'));
    expect((await call('POST', '/prompts/numbers/versions/2/archive')).status).toBe(200);
    expect((await call('POST', '/prompts/numbers/versions/1/archive')).status).toBe(200);
    const three = await givenVersion(registry, 'prompts', 'numbers', textPrompt('three'));
    expect(three.version).toBe(3);
    const again = await call('POST', '/prompts/numbers/versions', { content: textPrompt('one') });
    expect([again.status, again.body.version, again.body.id]).toEqual([200, 1, one.id]);
    expect(again.body.archivedAt).not.toBeNull();
    await call('POST', '/prompts/numbers/archive');
    await call('POST', '/prompts/numbers/restore');
    expect((await givenVersion(registry, 'prompts', 'numbers', textPrompt('four'))).version).toBe(4);
    const listed = async (query = '') =>
      (await call('GET', `/prompts/numbers/versions${query}`)).body.items.map((item: any) => item.version);
    expect(await listed()).toEqual([4, 3]);
    expect(await listed('?includeArchived=true')).toEqual([4, 3, 2, 1]);
    expect((await call('POST', '/prompts/numbers/versions/2/restore')).body.archivedAt).toBeNull();
    expect(await listed()).toEqual([4, 3, 2]);
  });

  it('cannot be archived while aliases point at it; the refusal names them', async () => {
    await givenVersion(registry, 'prompts', 'held', textPrompt());
    await call('PUT', '/prompts/held/aliases/staging', { version: 1 });
    await call('PUT', '/prompts/held/aliases/champion', { version: 1 });
    const refused = await call('POST', '/prompts/held/versions/1/archive');
    expect(refused).toMatchObject({
      status: 409,
      body: { code: 'IN_USE', details: { aliases: ['champion', 'staging'] } },
    });
    expect(refused.body.message).toContain('"champion", "staging"');
    await call('DELETE', '/prompts/held/aliases/champion');
    await call('DELETE', '/prompts/held/aliases/staging');
    const done = await call('POST', '/prompts/held/versions/1/archive');
    expect(done.status).toBe(200);
    const moved = await call('PUT', '/prompts/held/aliases/champion', { version: 1 });
    expect([moved.status, moved.body.code]).toEqual([422, 'REFERENCE_ARCHIVED']);
  });
});

describe('a chain version', () => {
  it('means the same version for ever, wherever the alias it was written with goes', async () => {
    const one = await givenVersion(registry, 'prompts', 'pinned', textPrompt('one'));
    const two = await givenVersion(registry, 'prompts', 'pinned', textPrompt('two'));
    const model = await givenVersion(registry, 'models', 'pinned-model', { format: 'hosted', model: 'tiny' });
    await call('PUT', '/prompts/pinned/aliases/champion', { version: 1 });
    const registeredModel = 'pinned-model@1';
    const written = {
      ...chainOf('pinned@champion'),
      generate: { modelEndpoint: 'gpu-pool', model: 'tiny', registeredModel },
      fallbacks: [
        { modelEndpoint: 'gpu-pool', model: 'tiny' },
        { modelEndpoint: 'gpu-pool', model: 'tiny', registeredModel },
      ],
    };
    const chain = await givenVersion(registry, 'chains', 'pinned-chain', written);
    const pin = { name: 'pinned', version: 1, digest: one.digest };
    const modelPin = { name: 'pinned-model', version: 1, digest: model.digest };
    expect(chain.content.prompt).toEqual(pin);
    expect(chain.content.generate.registeredModel).toEqual(modelPin);
    expect(chain.content.fallbacks[1].registeredModel).toEqual(modelPin);

    await call('PUT', '/prompts/pinned/aliases/champion', { version: 2 });
    await call('POST', '/prompts/pinned/versions/1/archive');
    await call('POST', '/prompts/pinned/archive');
    expect((await call('GET', '/chains/pinned-chain/versions/1')).body).toEqual(chain);
    await call('POST', '/prompts/pinned/restore');

    const next = await givenVersion(registry, 'chains', 'pinned-chain', written);
    expect(next).toMatchObject({ version: 2, content: { prompt: { version: 2, digest: two.digest } } });
    const { rows } = await registry.database.client.query(
      `SELECT path, to_version_id FROM version_reference WHERE version_id = $1 ORDER BY path`,
      [chain.id],
    );
    expect(rows).toEqual([
      { path: '/fallbacks/1/registeredModel', to_version_id: model.id },
      { path: '/generate/registeredModel', to_version_id: model.id },
      { path: '/prompt', to_version_id: one.id },
    ]);
  });

  it('is the same version whether its prompt is written by alias, by number or pinned', async () => {
    const { digest } = await givenVersion(registry, 'prompts', 'spelled', textPrompt());
    await call('PUT', '/prompts/spelled/aliases/champion', { version: 1 });
    for (const prompt of ['spelled@champion', 'spelled@1', { name: 'spelled', version: 1, digest }])
      expect(await givenVersion(registry, 'chains', 'spelled-chain', chainOf(prompt))).toMatchObject({
        version: 1,
      });
  });

  it('is listed where it is used, newest first, page by page', async () => {
    await givenVersion(registry, 'prompts', 'used', textPrompt());
    for (let i = 1; i <= 5; i++)
      await givenVersion(registry, 'chains', 'user', chainOf('used@1', { retry: { maxAttempts: i } }));
    const seen: unknown[] = [];
    let cursor: string | null = '';
    while (cursor !== null) {
      const { body }: Answer = await call(
        'GET',
        `/prompts/used/versions/1/used-by?limit=2${cursor && `&cursor=${cursor}`}`,
      );
      seen.push(...body.items.map((use: any) => [use.kind, use.name, use.version, use.path]));
      cursor = body.nextCursor;
    }
    expect(seen).toEqual([5, 4, 3, 2, 1].map((number) => ['chain', 'user', number, '/prompt']));
  });

  it.each([
    ['no-such@champion', 422, 'REFERENCE_NOT_FOUND', '/prompt'],
    ['lookup@no-such-alias', 422, 'REFERENCE_NOT_FOUND', 'lookup@no-such-alias'],
    ['lookup@7', 422, 'REFERENCE_NOT_FOUND', 'lookup@7'],
    ['lookup@0', 422, 'REFERENCE_NOT_FOUND', 'lookup@0'],
    ['lookup@99999999999', 422, 'REFERENCE_NOT_FOUND', 'lookup@99999999999'],
    [`lookup@${'9'.repeat(240)}`, 422, 'REFERENCE_NOT_FOUND', 'lookup@'],
    ['lookup@2', 422, 'REFERENCE_ARCHIVED', 'archived'],
    ['lookup-archived@1', 422, 'REFERENCE_ARCHIVED', 'archived'],
    [
      { name: 'lookup', version: 1, digest: `sha256:${'0'.repeat(64)}` },
      422,
      'DIGEST_MISMATCH',
      'sha256:000',
    ],
    [
      { name: 'lookup', version: 1e12, digest: `sha256:${'0'.repeat(64)}` },
      422,
      'REFERENCE_NOT_FOUND',
      'lookup@',
    ],
    ['lookup', 400, 'VALIDATION_FAILED', '/prompt'],
    ['a@b@c', 400, 'VALIDATION_FAILED', '/prompt'],
    [7, 400, 'VALIDATION_FAILED', '/prompt'],
  ])('with prompt %j is refused', async (prompt, status, code, said) => {
    await givenVersion(registry, 'prompts', 'lookup', textPrompt('one'));
    await givenVersion(registry, 'prompts', 'lookup', textPrompt('two'));
    await call('POST', '/prompts/lookup/versions/2/archive');
    await call('POST', '/prompts', { name: 'lookup-archived' });
    await call('POST', '/prompts/lookup-archived/versions', { content: textPrompt() });
    await call('POST', '/prompts/lookup-archived/archive');
    await call('POST', '/chains', { name: 'refused' });
    const { status: actual, body } = await call('POST', '/chains/refused/versions', {
      content: chainOf(prompt),
    });
    expect([actual, body.code]).toEqual([status, code]);
    expect(body.message).toContain(said);
    expect((await call('GET', '/chains/refused')).body.latestVersion).toBeNull();
  });

  it('must name a model endpoint that exists and serves the model, in its fallbacks too', async () => {
    await givenVersion(registry, 'prompts', 'served', textPrompt());
    await givenEntry(registry, 'chains', 'served-chain');
    const attempt = (content: unknown) => call('POST', '/chains/served-chain/versions', { content });
    const missing = await attempt({
      prompt: 'served@1',
      generate: { modelEndpoint: 'nowhere', model: 'tiny' },
    });
    expect([missing.status, missing.body.code]).toEqual([422, 'REFERENCE_NOT_FOUND']);
    const fallback = await attempt(
      chainOf('served@1', { fallbacks: [{ modelEndpoint: 'gpu-pool', model: 'huge' }] }),
    );
    expect([fallback.status, fallback.body.code]).toEqual([422, 'REFERENCE_NOT_FOUND']);
    expect(fallback.body.message).toContain('/fallbacks/0');
  });
});

describe('comparing two versions', () => {
  it('names every value that differs, and shows where inside long texts', async () => {
    const system = (text: string) => ({ role: 'system', content: text });
    const long = 'You are the support desk of a bank and answer every single question with great care.';
    await givenVersion(registry, 'prompts', 'compared', {
      type: 'chat',
      messages: [system('Be polite.\nBe long.\nThank them.'), system(long), system('short')],
    });
    await givenVersion(registry, 'prompts', 'compared', {
      type: 'chat',
      messages: [
        system('Be polite.\nBe brief.\nThank them.'),
        system(long.replace('single', 'simple')),
        system('tiny'),
        '{{messages}}',
      ],
    });
    await call('PUT', '/prompts/compared/aliases/champion', { version: 2 });
    const { status, body } = await call('GET', '/prompts/compared/diff?from=1&to=champion');
    expect(status).toBe(200);
    expect([body.from.version, body.to.version]).toEqual([1, 2]);
    const changes = new Map<string, any>(body.changes.map((change: any) => [change.path, change]));
    expect([...changes.keys()]).toEqual([
      '/messages/0/content',
      '/messages/1/content',
      '/messages/2/content',
      '/messages/3',
    ]);
    expect(changes.get('/messages/0/content').unified).toContain('-Be long.\n+Be brief.\n');
    expect(changes.get('/messages/1/content').words).toEqual(
      expect.arrayContaining([
        { kind: 'removed', text: 'single' },
        { kind: 'added', text: 'simple' },
      ]),
    );
    expect(changes.get('/messages/2/content')).toEqual({
      path: '/messages/2/content',
      kind: 'changed',
      before: 'short',
      after: 'tiny',
    });
    expect(changes.get('/messages/3')).toEqual({ path: '/messages/3', kind: 'added', after: '{{messages}}' });
    expect((await call('GET', '/prompts/compared/diff?from=2&to=2')).body.changes).toEqual([]);
  });

  it.each(['from=1&to=9', 'from=1&to=nope', 'from=99999999999&to=1', 'from=0&to=1'])(
    'answers 404 to %s',
    async (query) => {
      await givenVersion(registry, 'prompts', 'lonely', textPrompt());
      expect((await call('GET', `/prompts/lonely/diff?${query}`)).status).toBe(404);
    },
  );
});

it.each(['prompt', 'model', 'chain'])('the schema of %s content is published', async (kind) => {
  const { status, body, headers } = await call('GET', `/schemas/${kind}`);
  expect(status).toBe(200);
  expect(headers.get('content-type')).toContain('application/schema+json');
  expect(body.$schema).toBe('https://json-schema.org/draft/2020-12/schema');
  expect((await call('GET', '/schemas/thing')).status).toBe(404);
});
