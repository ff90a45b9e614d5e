import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EMBEDDING_PROTOCOLS, PROTOCOLS } from '#libs/core/content/protocol.js';
import { GatewayError } from '../http/gateway-error.js';
import type { Fields } from '../providers/canonical.js';
import { PROVIDERS } from '../providers/providers.js';
import { inFormat, readEmbeddings, withoutVectors } from './embeddings-answer.js';
import { embeddingsBody, vectorsAsked } from './embeddings-request.js';
import { EMBEDDINGS } from './embeddings.ingress.js';

const read = (fields: unknown) => EMBEDDINGS.readRequest(Buffer.from(JSON.stringify(fields)), undefined);
const refusal = (fields: unknown): GatewayError => {
  try {
    read(fields);
  } catch (error) {
    if (error instanceof GatewayError) return error;
  }
  throw new Error('It was taken.');
};
const listOf = (...vectors: unknown[]): Fields => ({
  object: 'list',
  data: vectors.map((embedding, index) => ({ object: 'embedding', index, embedding })),
  model: 'm',
  usage: { prompt_tokens: 7, total_tokens: 7 },
});
const base64 = (...floats: number[]) => Buffer.from(new Float32Array(floats).buffer).toString('base64');

describe('a request for embeddings', () => {
  it.each([
    ['a text', 'Hi', 1],
    ['a text of nothing', '', 1],
    ['texts', ['a', 'b', 'c'], 3],
    ['tokens', [1, 2, 3], 1],
    ['lists of tokens', [[1, 2], [3]], 2],
  ])('may be for %s', (_, input, count) => {
    expect(vectorsAsked(read({ model: 'm', input }).fields)).toBe(count);
  });

  it.each([
    ['without input', {}, 'input', 'There is no "input"'],
    ['with an object', { input: { text: 'a' } }, 'input', 'no list'],
    ['with an empty list', { input: [] }, 'input', 'empty'],
    ['with an empty list of tokens', { input: [[1], []] }, 'input', '"input[1]" is empty'],
    ['with texts and tokens', { input: ['a', 1] }, 'input', '"input[1]" is no text'],
    ['with half a token', { input: [1, 2.5] }, 'input', '"input[1]" is no token'],
    ['with a text among tokens', { input: [[1, 'a']] }, 'input', '"input[0][1]" is no token'],
    ['with null', { input: [null] }, 'input', '"input[0]" is neither'],
    ['with messages', { input: 'a', messages: [] }, 'messages', 'not of "messages"'],
    ['as a stream', { input: 'a', stream: true }, 'stream', 'one piece'],
    ['in another format', { input: 'a', encoding_format: 'int8' }, 'encoding_format', '"float" or "base64"'],
    [
      'with variables',
      { input: 'a', metadata: { variables: { city: 'Ulm' } } },
      'metadata.variables',
      '"city"',
    ],
    ['without a model', { model: '', input: 'a' }, 'model', '"model" must be'],
  ])('%s is refused, and told why', (_, fields, param, why) => {
    const error = refusal({ model: 'm', ...fields });
    expect([error.status, error.param]).toEqual([400, param]);
    expect(error.message).toContain(why);
  });

  it('takes any JSON, or refuses it as a bad request, and what it takes it passes on', () => {
    const json = fc.jsonValue({ maxDepth: 3 });
    const tokens = fc.array(fc.oneof(fc.nat(), json), { maxLength: 3 });
    const input = fc.oneof(fc.string(), tokens, fc.array(fc.oneof(fc.string(), tokens)), json);
    const some = fc.record(
      { input, user: json, metadata: json, encoding_format: json, dimensions: json, x: json, stream: json },
      { requiredKeys: ['input'] },
    );
    fc.assert(
      fc.property(some, (fields) => {
        try {
          const { fields: taken } = read({ model: 'm', ...fields });
          const { metadata: _, stream: __, ...passed } = JSON.parse(JSON.stringify(fields)) as Fields;
          const generation = { modelEndpoint: 'gpu', model: 'bge' };
          expect(embeddingsBody(generation, taken)).toEqual({ ...passed, model: 'bge' });
        } catch (error) {
          if (!(error instanceof GatewayError)) throw error;
          expect(error.status).toBe(400);
        }
      }),
      { numRuns: 500 },
    );
  });

  it('is of what the chain pins before what the caller says, and never of another model', () => {
    const { fields } = read({
      model: 'search',
      models: ['other'],
      input: ['a'],
      dimensions: 8,
      encoding_format: 'base64',
      truncate: 'END',
      metadata: { unit: 'u' },
      stream: false,
      user: 'ada',
    });
    const pinned = { dimensions: 4, encoding_format: 'float' };
    const generation = {
      modelEndpoint: 'gpu',
      model: 'bge',
      parameters: pinned,
      extraBody: { normalize: true },
    };
    expect(embeddingsBody(generation, fields)).toEqual({
      model: 'bge',
      input: ['a'],
      user: 'ada',
      truncate: 'END',
      normalize: true,
      ...pinned,
    });
  });
});

describe('an answer with embeddings', () => {
  it('tells its tokens, also as a total; nothing is generated', () => {
    expect(readEmbeddings(listOf([0.5]), 1)).toMatchObject({ inputTokens: 7, outputTokens: 0, choices: [] });
    const told = { ...listOf([0.5]), usage: { total_tokens: 9 } };
    expect(readEmbeddings(told, 1)).toMatchObject({ inputTokens: 9, outputTokens: 0 });
    const silent = { ...listOf([0.5]), usage: undefined };
    expect(readEmbeddings(silent, 1)).toMatchObject({ inputTokens: null, outputTokens: null });
  });

  it.each([
    ['an error', { ...listOf([1]), error: { message: 'x' } }],
    ['no list', { ...listOf([1]), data: {} }],
    ['too few', listOf()],
    ['too many', listOf([1], [2])],
    ['nothing in it', listOf([])],
    ['null for a number', listOf([1, null])],
    ['a number that is too large', JSON.parse(JSON.stringify(listOf([7])).replace('[7]', '[1e999]'))],
    ['half a float', listOf('AAAA')],
    ['an embedding that is none', listOf({})],
    ['something else', 'embedding'],
  ])('is none with %s', (_, answer) => {
    expect(readEmbeddings(answer, 1)).toBeUndefined();
  });

  it('is none where its numbers would be lost in the format asked for', () => {
    expect(readEmbeddings(listOf([1, 2], base64(1, 2)), 2, 'float')).toBeDefined();
    for (const vector of [base64(1, NaN), base64(1, Infinity), '!'.repeat(16)]) {
      expect(readEmbeddings(listOf(vector), 1, 'float'), vector).toBeUndefined();
      expect(readEmbeddings(listOf(vector), 1, 'base64'), vector).toBeDefined();
    }
    expect(readEmbeddings(listOf([1e300]), 1, 'base64')).toBeUndefined();
    expect(readEmbeddings(listOf([1e300]), 1, 'float')).toBeDefined();
  });

  it('is none where vectors differ in length', () => {
    expect(readEmbeddings(listOf([1, 2], [1]), 2)).toBeUndefined();
    expect(readEmbeddings(listOf([1], base64(1, 2)), 2)).toBeUndefined();
    expect(readEmbeddings(listOf([1, 2], base64(1, 2)), 2)).toBeDefined();
  });

  it('goes out as it came where the format is the one asked for', () => {
    expect(inFormat(listOf([1, 2]), 'float')).toBeUndefined();
    expect(inFormat(listOf(base64(1)), 'base64')).toBeUndefined();
  });

  it('goes out in the format asked for, with the same numbers and all else', () => {
    fc.assert(
      fc.property(
        fc.array(fc.float({ noNaN: true, noDefaultInfinity: true }), { minLength: 1 }),
        (floats) => {
          const given = listOf(floats, base64(...floats));
          expect(JSON.parse(inFormat(given, 'float')!)).toEqual(
            JSON.parse(JSON.stringify(listOf(floats, floats))),
          );
          const encoded = base64(...floats);
          expect(JSON.parse(inFormat(given, 'base64')!)).toEqual(listOf(encoded, encoded));
        },
      ),
    );
  });

  it('is kept as what it says beside its vectors, their number and length', () => {
    const kept = { object: 'list', model: 'm', usage: { prompt_tokens: 7, total_tokens: 7 } };
    const vectors = { count: 2, dimensions: 3 };
    expect(JSON.parse(withoutVectors(listOf([1, 2, 3], [4, 5, 6])))).toEqual({ ...kept, vectors });
    expect(JSON.parse(withoutVectors(listOf(base64(1, 2, 3), base64(4, 5, 6))))).toEqual({
      ...kept,
      vectors,
    });
  });
});

describe('the providers', () => {
  it('have embeddings where the registry takes chains that embed, and nowhere else', () => {
    const able = PROTOCOLS.filter((protocol) => PROVIDERS[protocol].embeddingsPath);
    expect(able).toEqual(EMBEDDING_PROTOCOLS);
  });

  it('name the path, and Azure the deployment', () => {
    expect(PROVIDERS.openai.embeddingsPath!('/v1', 'bge', '')).toBe('/v1/embeddings');
    expect(PROVIDERS['azure-openai'].embeddingsPath!('/openai', 'my/ada', '2024-10-21')).toBe(
      '/openai/deployments/my%2Fada/embeddings?api-version=2024-10-21',
    );
  });
});
