import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { chainOf, givenEntry, givenModelEndpoint, givenVersion, textPrompt } from './support/entries.js';
import { startTestRegistry, type TestRegistry } from './support/registry.js';

let registry: TestRegistry;
beforeAll(async () => {
  registry = await startTestRegistry();
  await givenModelEndpoint(registry);
});
afterAll(() => registry.close());

const call: TestRegistry['call'] = (...args) => registry.call(...args);
const hosted = (model = 'tiny') => ({ format: 'hosted', model });

describe('what is said about a version', () => {
  it('can change, and the version does not', async () => {
    const before = await givenVersion(registry, 'prompts', 'noted', textPrompt());
    expect(before).toMatchObject({ description: null, tags: {}, stage: 'None', updatedAt: before.createdAt });
    const row = () =>
      registry.database.client.query(`SELECT v.*, v.xmin FROM version v WHERE id = $1`, [before.id]);
    const stored = (await row()).rows;

    const first = await call('PATCH', '/prompts/noted/versions/1', {
      description: 'Good.',
      tags: { reviewed: 'yes', by: 'ada' },
      stage: 'Staging',
    });
    expect(first.status).toBe(200);
    const { updatedAt, ...shown } = first.body;
    expect(shown).toEqual({
      ...before,
      updatedAt: undefined,
      description: 'Good.',
      tags: { reviewed: 'yes', by: 'ada' },
      stage: 'Staging',
    });
    expect(Date.parse(updatedAt)).toBeGreaterThanOrEqual(Date.parse(before.createdAt));

    const second = await call('PATCH', '/prompts/noted/versions/1', {
      tags: { by: null },
      description: null,
    });
    expect(second.body).toMatchObject({ description: null, tags: { reviewed: 'yes' }, stage: 'Staging' });
    const listed = await call('GET', '/prompts/noted/versions');
    expect(listed.body.items[0]).toMatchObject({ tags: { reviewed: 'yes' }, stage: 'Staging' });
    expect((await row()).rows).toEqual(stored);
  });

  it.each([
    ['an unknown stage', { stage: 'Live' }, '/stage'],
    ['null for the stage', { stage: null }, '/stage'],
    ['a long description', { description: 'x'.repeat(5001) }, '/description'],
    ['a list for tags', { tags: [] }, '/tags'],
    ['its content', { content: {} }, '/content is an unknown field'],
    ['its message', { message: 'other' }, '/message is an unknown field'],
  ])('refuses %s', async (_, body, said) => {
    await givenVersion(registry, 'prompts', 'strict', textPrompt());
    const answer = await call('PATCH', '/prompts/strict/versions/1', body);
    expect([answer.status, answer.body.message]).toEqual([400, expect.stringContaining(said)]);
  });

  it('is not said about a version that does not exist', async () => {
    await givenEntry(registry, 'prompts', 'empty');
    const answer = await call('PATCH', '/prompts/empty/versions/1', { description: 'x' });
    expect([answer.status, answer.body.message]).toEqual([404, expect.stringContaining('no version 1')]);
  });

  it('is kept whole when twenty people set a tag at the same time', async () => {
    await givenVersion(registry, 'prompts', 'busy', textPrompt());
    const keys = Array.from({ length: 20 }, (_, i) => `k${i}`);
    await Promise.all(keys.map((key) => call('PATCH', '/prompts/busy/versions/1', { tags: { [key]: 'x' } })));
    expect(Object.keys((await call('GET', '/prompts/busy/versions/1')).body.tags).sort()).toEqual(
      keys.sort(),
    );
  });
});

describe('names', () => {
  it.each([
    ['models', 'My Model 1'],
    ['models', 'Modèle n°1 (β) @home 50%? #x'],
    ['models', ' padded '],
    ['models', 'ü'.repeat(256)],
    ['prompts', '-a_.b-'],
    ['prompts', 'a'.repeat(256)],
  ] as const)('of %s may be %j, and everything works under them', async (kinds, name) => {
    const path = `/${kinds}/${encodeURIComponent(name)}`;
    expect((await call('POST', `/${kinds}`, { name })).status).toBe(201);
    const content = kinds === 'models' ? hosted() : textPrompt();
    expect((await call('POST', `${path}/versions`, { content })).status).toBe(201);
    expect((await call('PUT', `${path}/aliases/best`, { version: 1 })).status).toBe(200);
    expect((await call('GET', path)).body).toMatchObject({ name, aliases: { best: 1 } });
    expect((await call('GET', `${path}/versions/1`)).body).toMatchObject({ name, aliases: ['best'] });
    const listed = await call('GET', `/${kinds}?prefix=${encodeURIComponent(name)}`);
    expect(listed.body.items).toHaveLength(1);
  });

  it('with @ are referred to, taken apart at the last one', async () => {
    await givenVersion(registry, 'prompts', 'plain', textPrompt());
    await givenVersion(registry, 'models', 'team@home', hosted());
    await call('PUT', `/models/team%40home/aliases/best`, { version: 1 });
    for (const reference of ['team@home@best', 'team@home@1']) {
      const generate = { modelEndpoint: 'gpu-pool', model: 'tiny', registeredModel: reference };
      const chain = await givenVersion(registry, 'chains', 'at-chain', chainOf('plain@1', { generate }));
      expect(chain.content.generate.registeredModel).toMatchObject({ name: 'team@home', version: 1 });
    }
  });

  it('of models can change; versions, aliases and their logs go along', async () => {
    await givenVersion(registry, 'models', 'old name', hosted());
    await call('PUT', '/models/old%20name/aliases/best', { version: 1 });
    const renamed = await call('PATCH', '/models/old%20name', { name: 'new name' });
    expect([renamed.status, renamed.body.name]).toEqual([200, 'new name']);
    expect((await call('GET', '/models/old%20name')).status).toBe(404);
    expect((await call('GET', '/models/new%20name/versions/1')).body.aliases).toEqual(['best']);
    expect((await call('GET', '/models/new%20name/aliases/best/moves')).body.items).toHaveLength(1);
    expect((await call('POST', '/models', { name: 'old name' })).status).toBe(201);
    const taken = await call('PATCH', '/models/new%20name', { name: 'old name' });
    expect([taken.status, taken.body.code]).toEqual([409, 'ALREADY_EXISTS']);
    const bad = await call('PATCH', '/models/new%20name', { name: 'a/b' });
    expect([bad.status, bad.body.details]).toEqual([400, [expect.objectContaining({ path: '/name' })]]);
  });

  it('of prompts and chains stay', async () => {
    await givenEntry(registry, 'prompts', 'stays');
    const refused = await call('PATCH', '/prompts/stays', { name: 'moves' });
    expect([refused.status, refused.body.code]).toEqual([409, 'IMMUTABLE']);
    expect((await call('PATCH', '/prompts/stays', { name: 'stays' })).status).toBe(200);
  });

  it('of models stay while a chain pins one of their versions', async () => {
    await givenVersion(registry, 'prompts', 'plain', textPrompt());
    await givenVersion(registry, 'models', 'pinned', hosted());
    const generate = { modelEndpoint: 'gpu-pool', model: 'tiny', registeredModel: 'pinned@1' };
    await givenVersion(registry, 'chains', 'pinning', chainOf('plain@1', { generate }));
    const refused = await call('PATCH', '/models/pinned', { name: 'free' });
    expect([refused.status, refused.body.code]).toEqual([409, 'IN_USE']);
    expect(refused.body.message).toContain('the chain "pinning"');
  });

  it('do not change in the moment a chain pins them', async () => {
    await givenVersion(registry, 'prompts', 'plain', textPrompt());
    for (let round = 0; round < 8; round++) {
      const name = `race-${round}`;
      await givenVersion(registry, 'models', name, hosted());
      const generate = { modelEndpoint: 'gpu-pool', model: 'tiny', registeredModel: `${name}@1` };
      await call('POST', '/chains', { name });
      const [renamed, registered] = await Promise.all([
        call('PATCH', `/models/${name}`, { name: `${name}-renamed` }),
        call('POST', `/chains/${name}/versions`, { content: chainOf('plain@1', { generate }) }),
      ]);
      // Whoever came first, the pin names what there is.
      expect([renamed.status, registered.status]).toEqual(renamed.status === 200 ? [200, 422] : [409, 201]);
    }
  });
});

describe('aliases', () => {
  it.each(['a', '-x-', '_', 'größe_1', 'x'.repeat(255), 'v3', '1a'])('may be %j', async (alias) => {
    await givenVersion(registry, 'prompts', 'aliased', textPrompt());
    const answer = await call('PUT', `/prompts/aliased/aliases/${encodeURIComponent(alias)}`, { version: 1 });
    expect([answer.status, answer.body.alias]).toEqual([200, alias]);
    const pinned = await givenVersion(registry, 'chains', 'of-aliases', chainOf(`aliased@${alias}`));
    expect(pinned.content.prompt).toMatchObject({ name: 'aliased', version: 1 });
  });
});

describe("content of MLflow's", () => {
  it('is kept and shown, and refused by chains with the reason', async () => {
    const jinja = { type: 'mlflow', form: 'text', text: '{% if a %}{{ a }}{% endif %}' };
    const version = await givenVersion(registry, 'prompts', 'jinja', jinja);
    expect(version.content).toEqual(jinja);
    await call('POST', '/chains', { name: 'of-jinja' });
    const refused = await call('POST', '/chains/of-jinja/versions', { content: chainOf('jinja@1') });
    expect([refused.status, refused.body.code]).toEqual([400, 'VALIDATION_FAILED']);
    expect(refused.body.message).toContain('a chain cannot render: it is a Jinja template');
    expect(refused.body.details).toEqual([expect.objectContaining({ path: '/prompt' })]);
  });

  it.each([
    ['a model without a source', 'models', { format: 'mlflow' }, '"source"'],
    [
      'a model with a field of a served one',
      'models',
      { format: 'mlflow', source: 's3://x', model: 'm' },
      '"model"',
    ],
    ['a prompt of an unknown form', 'prompts', { type: 'mlflow', form: 'video', text: '' }, '/form'],
  ] as const)('has a schema: %s is refused', async (_, kinds, content, said) => {
    await call('POST', `/${kinds}`, { name: 'schema' });
    const answer = await call('POST', `/${kinds}/schema/versions`, { content });
    expect([answer.status, answer.body.message]).toEqual([400, expect.stringContaining(said)]);
  });
});
