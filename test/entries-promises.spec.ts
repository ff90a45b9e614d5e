import { setTimeout } from 'node:timers/promises';
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
const numbers = (unsorted: number[]) => unsorted.sort((a, b) => a - b);
const fifty = Array.from({ length: 50 }, (_, i) => i + 1);

describe('the database itself', () => {
  let version: any;
  beforeAll(async () => {
    await givenVersion(registry, 'prompts', 'stone', textPrompt('one'));
    await givenVersion(registry, 'prompts', 'stone', textPrompt('two'));
    version = await givenVersion(registry, 'chains', 'stone-chain', chainOf('stone@1'));
    await call('PUT', '/prompts/stone/aliases/champion', { version: 1 });
  });

  it.each([
    `UPDATE version SET content = '{"type":"text","text":"other"}', digest = 'sha256:' || encode(sha256('{"type":"text","text":"other"}'), 'hex')`,
    `UPDATE version SET content = content || ' '`,
    `UPDATE version SET digest = 'sha256:' || repeat('0', 64)`,
    `UPDATE version SET number = number + 100`,
    `UPDATE version SET message = 'other'`,
    `UPDATE version SET created_by = 'somebody else'`,
    `UPDATE version SET archived_at = now(), number = number + 100`,
    `DELETE FROM version`,
    `DELETE FROM entry`,
    `UPDATE entry SET latest_version = latest_version - 1 WHERE latest_version > 0`,
    `UPDATE entry SET name = name || '-renamed'`,
    `UPDATE entry SET kind = 'model'`,
    `UPDATE version_reference SET to_version_id = version_id`,
    `DELETE FROM version_reference`,
    `TRUNCATE version_reference`,
    `UPDATE alias_move SET moved_by = 'somebody else'`,
    `DELETE FROM alias_move`,
    `TRUNCATE alias_move`,
    // Even where no row would be hit.
    `DELETE FROM alias_move WHERE false`,
    `UPDATE version_reference SET path = path WHERE false`,
  ])('refuses %s', async (sql) => {
    await expect(registry.database.client.query(sql)).rejects.toMatchObject({
      code: expect.stringMatching(/^(23001|23514)$/), // restrict_violation, check_violation
    });
    expect((await call('GET', '/chains/stone-chain/versions/1')).body).toEqual(version);
  });

  it.each([
    ['version', 'versions are immutable'],
    ['entry', 'entries are archived, never deleted'],
  ])('refuses TRUNCATE of %s by a guard of its own', async (table, said) => {
    await expect(registry.database.client.query(`TRUNCATE ${table} CASCADE`)).rejects.toThrow(said);
  });

  it('refuses a version whose digest is not of its content', async () => {
    await expect(
      registry.database.client.query(
        `INSERT INTO version (id, workspace_id, entry_id, number, digest, content, created_at, created_by)
         SELECT gen_random_uuid(), workspace_id, entry_id, 99, 'sha256:' || repeat('0', 64), content, now(), 'x'
           FROM version LIMIT 1`,
      ),
    ).rejects.toMatchObject({ constraint: 'version_digest_check' });
  });

  it('refuses an alias of one entry that points at a version of another', async () => {
    await givenVersion(registry, 'prompts', 'stranger', textPrompt('stranger'));
    await expect(
      registry.database.client.query(
        `UPDATE alias SET version_id = (SELECT v.id FROM version v JOIN entry e ON e.id = v.entry_id WHERE e.name = 'stranger')`,
      ),
    ).rejects.toMatchObject({ constraint: 'alias_version_fk' });
  });
});

describe('fifty at once', () => {
  it('registrations of different content get fifty consecutive numbers', async () => {
    await givenEntry(registry, 'prompts', 'race');
    const answers = await Promise.all(
      fifty.map((i) => call('POST', '/prompts/race/versions', { content: textPrompt(`text ${i}`) })),
    );
    expect(answers.map((answer) => answer.status)).toEqual(fifty.map(() => 201));
    expect(answers.map((answer) => answer.body.version).sort((a, b) => a - b)).toEqual(fifty);
    for (const [i, answer] of answers.entries()) expect(answer.body.content.text).toBe(`text ${i + 1}`);
    expect((await call('GET', '/prompts/race')).body.latestVersion).toBe(50);
  });

  it('registrations of the same content make one version: one 201 and forty-nine 200', async () => {
    await givenEntry(registry, 'prompts', 'same');
    const answers = await Promise.all(
      fifty.map(() => call('POST', '/prompts/same/versions', { content: textPrompt() })),
    );
    expect(numbers(answers.map((answer) => answer.status))).toEqual([...fifty.slice(1).map(() => 200), 201]);
    expect(new Set(answers.map((answer) => answer.body.id)).size).toBe(1);
    expect((await call('GET', '/prompts/same')).body.latestVersion).toBe(1);
  });

  it('creations of one name make one entry', async () => {
    const answers = await Promise.all(fifty.map(() => call('POST', '/prompts', { name: 'single' })));
    expect(numbers(answers.map((answer) => answer.status))).toEqual([201, ...fifty.slice(1).map(() => 409)]);
  });

  it('moves of one alias leave one holder and fifty rows in the log, each from where the last one went', async () => {
    for (const i of fifty) await givenVersion(registry, 'prompts', 'moved', textPrompt(`text ${i}`));
    const answers = await Promise.all(
      fifty.map((version) =>
        call(
          'PUT',
          '/prompts/moved/aliases/champion',
          { version, reason: `to ${version}` },
          {
            'x-catena-actor': `actor ${version}`,
          },
        ),
      ),
    );
    expect(answers.map((answer) => answer.status)).toEqual(fifty.map(() => 200));
    const moves = (await call('GET', '/prompts/moved/aliases/champion/moves?limit=200')).body.items;
    expect(moves.map((move: any) => move.revision)).toEqual(fifty.toReversed());
    expect(moves.map((move: any) => move.toVersion).sort((a: number, b: number) => a - b)).toEqual(fifty);
    for (const [i, move] of moves.entries()) {
      expect(move.fromVersion).toBe(moves[i + 1]?.toVersion ?? null);
      expect([move.movedBy, move.reason]).toEqual([`actor ${move.toVersion}`, `to ${move.toVersion}`]);
    }
    const { body } = await call('GET', '/prompts/moved/aliases/champion');
    expect(body).toMatchObject({ version: moves[0].toVersion, revision: 50 });
    const holders = (await call('GET', '/prompts/moved/versions?limit=200')).body.items.filter(
      (item: any) => item.aliases.length > 0,
    );
    expect(holders.map((holder: any) => holder.version)).toEqual([body.version]);
  });

  it('compare-and-sets of one alias at one revision: one wins, the others see both revisions', async () => {
    await givenVersion(registry, 'prompts', 'cas', textPrompt());
    const answers = await Promise.all(
      fifty.map(() => call('PUT', '/prompts/cas/aliases/champion', { version: 1, expectedRevision: 0 })),
    );
    expect(numbers(answers.map((answer) => answer.status))).toEqual([200, ...fifty.slice(1).map(() => 409)]);
    for (const { body } of answers.filter((answer) => answer.status === 409))
      expect(body).toMatchObject({
        code: 'REVISION_CONFLICT',
        details: { expectedRevision: 0, currentRevision: 1, currentVersion: 1 },
      });
  });

  it('a version is never both archived and held by an alias', async () => {
    await givenEntry(registry, 'prompts', 'tug');
    for (const i of fifty.slice(0, 25))
      await givenVersion(registry, 'prompts', 'tug', textPrompt(`text ${i}`));
    // An archive needs no body to be read and would always come first; these start late, one after the other.
    await Promise.all(
      fifty
        .slice(0, 25)
        .flatMap((version) => [
          call('PUT', `/prompts/tug/aliases/a${version}`, { version }),
          setTimeout(version * 4).then(() => call('POST', `/prompts/tug/versions/${version}/archive`)),
        ]),
    );
    const { items } = (await call('GET', '/prompts/tug/versions?limit=200&includeArchived=true')).body;
    expect(items).toHaveLength(25);
    const isHeld = (item: any) => item.aliases.length > 0;
    expect(items.filter((item: any) => (item.archivedAt !== null) === isHeld(item))).toEqual([]);
  });
});

describe('an alias', () => {
  beforeAll(async () => {
    for (const text of ['one', 'two'])
      await givenVersion(registry, 'chains', 'aliased', chainOf(await pin(text)));
  });
  const pin = async (text: string) => {
    const { name, version, digest } = await givenVersion(
      registry,
      'prompts',
      `for-alias-${text}`,
      textPrompt(text),
    );
    return { name, version, digest };
  };
  const put = (body: unknown) => call('PUT', '/chains/aliased/aliases/staging', body);

  it('is set, moved, removed and set again; its revision and log only grow', async () => {
    expect((await put({ version: 1, expectedRevision: 0, reason: 'start' })).body).toMatchObject({
      version: 1,
      revision: 1,
    });
    const conflict = await put({ version: 2, expectedRevision: 7 });
    expect(conflict).toMatchObject({
      status: 409,
      body: {
        code: 'REVISION_CONFLICT',
        details: { expectedRevision: 7, currentRevision: 1, currentVersion: 1 },
      },
    });
    expect(conflict.body.message).toMatch(/revision 1 .*not at 7/);
    expect((await put({ version: 2, expectedRevision: 1 })).body).toMatchObject({ version: 2, revision: 2 });
    expect((await put({ version: 2 })).body).toMatchObject({ version: 2, revision: 3 });

    const stale = await call('DELETE', '/chains/aliased/aliases/staging?expectedRevision=2');
    expect([stale.status, stale.body.code]).toEqual([409, 'REVISION_CONFLICT']);
    const removed = await call('DELETE', '/chains/aliased/aliases/staging?expectedRevision=3&reason=done');
    expect([removed.status, removed.body.version, removed.body.revision]).toEqual([200, null, 4]);
    expect((await call('GET', '/chains/aliased/aliases/staging')).status).toBe(404);
    expect((await call('DELETE', '/chains/aliased/aliases/staging')).status).toBe(404);
    expect((await call('GET', '/chains/aliased/aliases')).body.items).toEqual([]);
    expect((await call('GET', '/chains/aliased')).body.aliases).toEqual({});

    expect((await put({ version: 1, expectedRevision: 0 })).body).toMatchObject({ version: 1, revision: 5 });
    expect((await call('GET', '/chains/aliased/aliases')).body.items).toMatchObject([
      { alias: 'staging', version: 1 },
    ]);
    const seen: any[] = [];
    let cursor: string | null = '';
    while (cursor !== null) {
      const page: { items: any[]; nextCursor: string | null } = (
        await call('GET', `/chains/aliased/aliases/staging/moves?limit=2${cursor && `&cursor=${cursor}`}`)
      ).body;
      seen.push(...page.items);
      cursor = page.nextCursor;
    }
    expect(seen.map((move) => [move.revision, move.fromVersion, move.toVersion, move.reason])).toEqual([
      [5, null, 1, null],
      [4, 2, null, 'done'],
      [3, 2, 2, null],
      [2, 1, 2, null],
      [1, null, 1, 'start'],
    ]);
  });
});
