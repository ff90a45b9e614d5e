import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { chainOf, givenEntry, givenModelEndpoint, givenVersion, textPrompt } from './support/entries.js';
import { startTestRegistry, type TestRegistry } from './support/registry.js';

let registry: TestRegistry;
beforeAll(async () => {
  registry = await startTestRegistry();
  await givenModelEndpoint(registry);
  await givenVersion(registry, 'prompts', 'p', textPrompt());
  await givenEntry(registry, 'models', 'm');
  await givenEntry(registry, 'chains', 'c');
});
afterAll(() => registry.close());

type Case = [
  what: string,
  method: string,
  path: string,
  body: unknown,
  status: number,
  said: string | RegExp,
];

const name = (value: unknown): Case[2 | 3][] => ['/prompts', { name: value }];
const prompt = (content: unknown): [string, unknown] => ['/prompts/p/versions', { content }];
const model = (content: unknown): [string, unknown] => ['/models/m/versions', { content }];
const chain = (more: Record<string, unknown>): [string, unknown] => [
  '/chains/c/versions',
  { content: chainOf('p@1', more) },
];
const post = (what: string, [path, body]: unknown[], said: string | RegExp, status = 400): Case => [
  what,
  'POST',
  path as string,
  body,
  status,
  said,
];

const cases: Case[] = [
  post('no name', ['/prompts', {}], '/name'),
  post('no body', ['/prompts', undefined], '/name'),
  post('a list for a body', ['/prompts', [{ name: 'x' }]], /object/),
  post('an empty list for a body', ['/prompts', []], /object/),
  post('a string for a body', ['/prompts', '"x"'], 'not valid JSON'),
  post('null for a body', ['/prompts', 'null'], 'not valid JSON'),
  post('broken JSON', ['/prompts', '{"name":'], 'not valid JSON'),
  post('a number for a name', name(7), '/name'),
  post('an object for a name', name({}), '/name'),
  post('null for a name', name(null), '/name'),
  ...['', ' ', 'a b', 'a/b', 'ü', 'a@1', '.', '..', '..a', 'a'.repeat(257), "a';--"].map((odd) =>
    post(`the prompt name ${JSON.stringify(odd.slice(0, 20))}`, name(odd), '/name'),
  ),
  ...['', ' ', 'a/b', 'a:b', 'a\nb', '\u0085', '.', '..', '..a', 'ü'.repeat(257)].map((odd) =>
    post(`the model name ${JSON.stringify(odd.slice(0, 20))}`, ['/models', { name: odd }], '/name'),
  ),
  ...['', ' ', 'a b', 'a/b', '-a', 'a-', 'ü', 'a@1', '.', '..', 'a'.repeat(129), "a';--"].map((odd) =>
    post(`the chain name ${JSON.stringify(odd.slice(0, 20))}`, ['/chains', { name: odd }], '/name'),
  ),
  post('NUL in a name', name('a\0b'), 'NUL'),
  post('a body beyond the top level', ['/prompts', '{} {}'], 'not valid JSON'),
  post('a lone surrogate in a text', ['/prompts', '{"name":"x","description":"\\ud800"}'], '/description'),
  post('an unknown field', ['/prompts', { name: 'x', nmae: 'y' }], '/nmae is an unknown field'),
  post(
    'the field constructor',
    ['/prompts', { name: 'x', constructor: 1 }],
    '/constructor is an unknown field',
  ),
  post('the field __proto__', ['/prompts', '{"name":"x","__proto__":{}}'], '__proto__'),
  post('a list for tags', ['/prompts', { name: 'x', tags: ['a'] }], '/tags'),
  post('a number for a tag', ['/prompts', { name: 'x', tags: { a: 1 } }], '"a"'),
  post('null for a tag of a new entry', ['/prompts', { name: 'x', tags: { a: null } }], '"a"'),
  post('null for tags of a new entry', ['/prompts', { name: 'x', tags: null }], '/tags'),
  post('a colon in a tag key', ['/prompts', { name: 'x', tags: { 'a:b': '' } }], '"a:b"'),
  post(
    'too many tags',
    [
      '/prompts',
      { name: 'x', tags: Object.fromEntries(Array.from({ length: 101 }, (_, i) => [`k${i}`, ''])) },
    ],
    '101 tags',
  ),
  ['a number for a description', 'PATCH', '/prompts/p', { description: 7 }, 400, '/description'],
  ['an unknown entry', 'PATCH', '/prompts/nobody', {}, 404, 'no prompt named "nobody"'],
  ['the same name of another kind', 'GET', '/models/p', undefined, 404, 'no model named "p"'],
  ['an encoded slash', 'GET', '/prompts/a%2Fb', undefined, 404, 'a/b'],
  ['NUL in the path', 'GET', '/prompts/a%00b', undefined, 400, 'NUL'],
  ['broken percent-encoding', 'GET', '/prompts/%E0%A4%A', undefined, 400, 'percent-encoded'],
  ['NUL in the query', 'GET', '/prompts?prefix=%00', undefined, 400, 'NUL'],
  ['a limit of 0', 'GET', '/prompts?limit=0', undefined, 400, '/limit'],
  ['a limit of 201', 'GET', '/prompts?limit=201', undefined, 400, '/limit'],
  ['a limit of x', 'GET', '/prompts?limit=x', undefined, 400, '/limit'],
  ['a foreign cursor', 'GET', '/prompts?cursor=abc', undefined, 400, 'cursor'],
  ['the cursor of another list', 'GET', '/prompts/p/versions?cursor=ImEi', undefined, 400, 'cursor'],
  [
    'a cursor that is no key',
    'GET',
    '/prompts/p/versions/1/used-by?cursor=WyJhIiwiYiJd',
    undefined,
    400,
    'cursor',
  ],
  ['a yes', 'GET', '/prompts?includeArchived=yes', undefined, 400, 'true or false'],
  ['an unknown filter', 'GET', '/prompts?nmae=x', undefined, 400, '/nmae is an unknown field'],
  ['an odd tag filter', 'GET', '/prompts?tag=%22:x', undefined, 400, '/tag'],
  ['two prefixes', 'GET', '/prompts?prefix=a&prefix=b', undefined, 400, '/prefix'],

  post('no content', ['/prompts/p/versions', {}], '/content'),
  post('an unknown field beside the content', ['/prompts/p/versions', { content: textPrompt(), x: 1 }], '/x'),
  post('a number for a message', ['/prompts/p/versions', { content: textPrompt(), message: 1 }], '/message'),
  ...[null, 7, 'text', [], {}].map((content) =>
    post(
      `the content ${JSON.stringify(content)}`,
      prompt(content),
      content === null ? '/content' : 'prompt content',
    ),
  ),
  post('an unknown type of prompt', prompt({ type: 'video' }), '/type'),
  post('an unknown field in the content', prompt({ type: 'text', text: 'x', txet: 'y' }), '"txet"'),
  post('a number for a text', prompt({ type: 'text', text: 7 }), '/text'),
  post(
    'an unknown role',
    prompt({ type: 'chat', messages: [{ role: 'boss', content: '' }] }),
    '/messages/0/role',
  ),
  post('an open placeholder', prompt(textPrompt('Hi {{name')), 'not closed'),
  post('a bad placeholder', prompt(textPrompt('Hi {{first name}}')), 'first name'),
  post('two slots', prompt({ type: 'chat', messages: ['{{messages}}', '{{messages}}'] }), 'more than one'),
  post('NUL in a content', prompt(textPrompt('a\0')), '/content/text'),
  post(
    'a lone surrogate in a content',
    ['/prompts/p/versions', '{"content":{"type":"text","text":"\\udc00"}}'],
    '/content/text',
  ),
  post(
    'a number beyond a double',
    ['/models/m/versions', '{"content":{"format":"hosted","model":"m","metadata":{"x":1e400}}}'],
    '/content/metadata/x',
  ),
  post(
    'the key __proto__ in a content',
    ['/models/m/versions', '{"content":{"format":"hosted","model":"m","metadata":{"__proto__":1}}}'],
    '__proto__',
  ),
  post(
    '201 levels',
    ['/models/m/versions', `{"content":${'{"a":'.repeat(250)}1${'}'.repeat(250)}}`],
    'nested',
  ),
  post('an unknown format', model({ format: 'gguf', model: 'm' }), '/format'),
  post('no model', model({ format: 'lora' }), '"model"'),
  post('no generation', ['/chains/c/versions', { content: { prompt: 'p@1' } }], '"generate"'),
  post(
    'a temperature of 3',
    chain({ generate: { modelEndpoint: 'gpu-pool', model: 'tiny', parameters: { temperature: 3 } } }),
    '/generate/parameters/temperature',
  ),
  post(
    'an unknown parameter',
    chain({ generate: { modelEndpoint: 'gpu-pool', model: 'tiny', parameters: { temprature: 1 } } }),
    '"temprature"',
  ),
  post('no attempts', chain({ retry: { maxAttempts: 0 } }), '/retry/maxAttempts'),
  post('an output schema that is none', chain({ output: { schema: { type: 'thing' } } }), '/output/schema'),
  post(
    'an output schema elsewhere',
    chain({ output: { schema: { $ref: 'http://example.com/x' } } }),
    '/output/schema',
  ),
  post(
    'two steps of one name',
    chain({ steps: { before: [{ name: 's', type: 't' }], after: [{ name: 's', type: 't' }] } }),
    '"s"',
  ),
  post(
    'versions of an unknown entry',
    ['/prompts/nobody/versions', { content: textPrompt() }],
    'nobody',
    404,
  ),
  post('11 MB', ['/prompts/p/versions', { content: textPrompt('x'.repeat(11 << 20)) }], '10485760', 413),

  ...['abc', '0', '-1', '1e3', '1.0', '0x1', '01', '%20', '+1'].map((number): Case => [
    `version ${number}`,
    'GET',
    `/prompts/p/versions/${number}`,
    undefined,
    400,
    'not a version number',
  ]),
  ['version 2', 'GET', '/prompts/p/versions/2', undefined, 404, 'has no version 2'],
  ['version 99999999999', 'GET', '/prompts/p/versions/99999999999', undefined, 404, '99999999999'],
  ['a version of 400 digits', 'GET', `/prompts/p/versions/${'9'.repeat(400)}`, undefined, 404, '999'],
  ['content of version 2', 'GET', '/prompts/p/versions/2/content', undefined, 404, 'has no version 2'],
  ['uses of version 2', 'GET', '/prompts/p/versions/2/used-by', undefined, 404, 'has no version 2'],
  ['archiving version 2', 'POST', '/prompts/p/versions/2/archive', undefined, 404, 'has no version 2'],
  ['restoring version x', 'POST', '/prompts/p/versions/x/restore', undefined, 400, 'not a version number'],
  ['versions of nobody', 'GET', '/prompts/nobody/versions', undefined, 404, 'nobody'],

  ...[
    {},
    { version: 'x' },
    { version: 0 },
    { version: 1.5 },
    { version: 1e12 },
    { version: null },
    { version: '1' },
  ].map((body): Case => [
    `an alias to ${JSON.stringify(body)}`,
    'PUT',
    '/prompts/p/aliases/a',
    body,
    400,
    '/version',
  ]),
  ['an alias to a missing version', 'PUT', '/prompts/p/aliases/a', { version: 2 }, 422, 'no version 2'],
  ['a bare number for an alias', 'PUT', '/prompts/p/aliases/7', { version: 1 }, 400, 'bare number'],
  ['an odd alias', 'PUT', '/prompts/p/aliases/a%20b', { version: 1 }, 400, 'letters'],
  ['a long alias', 'PUT', `/prompts/p/aliases/${'a'.repeat(256)}`, { version: 1 }, 400, '255'],
  [
    'a negative revision',
    'PUT',
    '/prompts/p/aliases/a',
    { version: 1, expectedRevision: -1 },
    400,
    '/expectedRevision',
  ],
  ['a number for a reason', 'PUT', '/prompts/p/aliases/a', { version: 1, reason: 1 }, 400, '/reason'],
  ['an alias of nobody', 'PUT', '/prompts/nobody/aliases/a', { version: 1 }, 404, 'nobody'],
  ['an unknown alias', 'GET', '/prompts/p/aliases/nope', undefined, 404, 'no alias "nope"'],
  ['moves of an unknown alias', 'GET', '/prompts/p/aliases/nope/moves', undefined, 404, 'no alias "nope"'],
  ['removing an unknown alias', 'DELETE', '/prompts/p/aliases/nope', undefined, 404, 'no alias "nope"'],
  [
    'removing at revision x',
    'DELETE',
    '/prompts/p/aliases/nope?expectedRevision=x',
    undefined,
    400,
    '/expectedRevision',
  ],
  ['a diff from nothing', 'GET', '/prompts/p/diff?to=1', undefined, 400, '/from'],
  ['a diff from two', 'GET', '/prompts/p/diff?from=1&from=1&to=1', undefined, 400, '/from'],
  ['a method that is not there', 'DELETE', '/prompts/p', undefined, 405, 'use one of GET, HEAD, PATCH'],
  ['an unknown kind', 'GET', '/things', undefined, 404, 'There is no GET'],
];

describe('bad input', () => {
  it.each(cases)('%s is refused (%s %s)', async (_, method, path, body, status, said) => {
    const before = await everything();
    const answer = await registry.call(method, path, body);
    expect({ status: answer.status, message: answer.body.message }).toEqual({
      status,
      message: typeof said === 'string' ? expect.stringContaining(said) : expect.stringMatching(said),
    });
    expect(answer.body).toMatchObject({ code: expect.any(String), requestId: expect.any(String) });
    expect(await everything()).toEqual(before);
  });

  it('bytes that are not UTF-8 are refused rather than replaced', async () => {
    const response = await fetch(`${registry.url}/api/v1/prompts`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: Buffer.from('{"name":"x","description":"\xff"}', 'latin1'),
    });
    expect([response.status, ((await response.json()) as any).code]).toEqual([400, 'INVALID_JSON']);
  });

  it('a body of another type is refused rather than overlooked', async () => {
    for (const body of [new URLSearchParams({ name: 'x' }), 'plain', new FormData()]) {
      const response = await fetch(`${registry.url}/api/v1/prompts`, { method: 'POST', body });
      const { code, message } = (await response.json()) as any;
      expect([response.status, code]).toEqual([415, 'UNSUPPORTED_MEDIA_TYPE']);
      expect(message).toContain('content-type: application/json');
    }
  });

  it('keys such as "constructor" and "prototype" are stored as they were sent', async () => {
    const metadata = { constructor: { prototype: 1 }, prototype: null, toString: 'x', hasOwnProperty: [] };
    const version = await givenVersion(registry, 'models', 'm', { format: 'hosted', model: 'm', metadata });
    expect(Object.entries(version.content.metadata)).toEqual(
      expect.arrayContaining(Object.entries(metadata)),
    );
  });
});

/** How many rows there are of everything a request could have written, and when the last change was. */
async function everything(): Promise<unknown> {
  const { rows } = await registry.database.client.query(
    `SELECT (SELECT count(*) FROM entry) AS entries, (SELECT max(updated_at) FROM entry) AS changed,
            (SELECT sum(latest_version) FROM entry) AS counters, (SELECT count(*) FROM version) AS versions,
            (SELECT count(*) FROM version_reference) AS refs, (SELECT count(*) FROM alias) AS aliases,
            (SELECT count(*) FROM alias_move) AS moves`,
  );
  return rows[0];
}
