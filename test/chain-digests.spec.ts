import fc from 'fast-check';
import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { canonical, type Json } from '../libs/core/canonical/canonical.js';
import { startTestRegistry, type TestRegistry } from './support/registry.js';

/** Contents as callers write them, and the digests that commit 883c293 gave them, when chains could not embed. */
const KEPT: readonly (readonly [what: string, content: object, digest: string])[] = [
  [
    'the least',
    { prompt: 'p@1', generate: { modelEndpoint: 'gpu', model: 'small' } },
    'sha256:9659fc4a6b88788db6f5aa5fa1e9e71d2be07f72890aa487033bec485c7b351e',
  ],
  [
    'every field',
    {
      prompt: 'p@champion',
      generate: {
        modelEndpoint: 'gpu',
        model: 'small',
        registeredModel: 'm@1',
        parameters: { temperature: 0.2, max_tokens: 400, stop: ['\n', 'Ü'] },
        extraBody: { min_tokens: 3, chat_template_kwargs: { thinking: false } },
      },
      fallbacks: [
        { modelEndpoint: 'vendor', model: 'large', parameters: { seed: 7 } },
        { modelEndpoint: 'vendor', model: 'larger' },
      ],
      output: { name: 'answer', schema: { type: 'object', required: ['a'] }, strict: true },
      retry: { maxAttempts: 3, initialBackoffMs: 100, maxBackoffMs: 1000 },
      steps: { before: [{ name: 'redact', type: 'regex', config: { pattern: 'x' } }], after: [] },
    },
    'sha256:6e9ea163bfffa3e3eabfe61fc1b82fe78dce8c19a6763c3efc535a5b62cd7f70',
  ],
  [
    'lists and objects that are empty',
    {
      prompt: 'p@1',
      generate: { modelEndpoint: 'gpu', model: 'small', parameters: {}, extraBody: {} },
      fallbacks: [],
      steps: {},
    },
    'sha256:38b907a3cfbd491c184409767473d892ed3d3f65b4b29418655a719712948ee1',
  ],
];

describe('chain versions that were registered before chains could embed', () => {
  let registry: TestRegistry;
  let prompt: { name: string; version: number; digest: string };
  beforeAll(async () => {
    registry = await startTestRegistry();
    for (const [name, models] of [
      ['gpu', ['small']],
      ['vendor', ['large', 'larger']],
    ] as const)
      await registry.call('POST', '/model-endpoints', {
        name,
        protocol: 'openai',
        replicas: [{ baseUrl: 'http://127.0.0.1:9/v1' }],
        models,
      });
    for (const [kind, name] of [
      ['prompts', 'p'],
      ['models', 'm'],
      ['chains', 'c'],
    ])
      await registry.call('POST', `/${kind}`, { name });
    const { body } = await registry.call('POST', '/prompts/p/versions', {
      content: { type: 'text', text: 'Hi {{name}}' },
    });
    prompt = { name: 'p', version: 1, digest: body.digest };
    await registry.call('PUT', '/prompts/p/aliases/champion', { version: 1 });
    await registry.call('POST', '/models/m/versions', { content: { format: 'weights', model: 'small' } });
  });
  afterAll(() => registry.close());

  it.each(KEPT)('have the digest they had: %s', async (_, content, digest) => {
    const { status, body } = await registry.call('POST', '/chains/c/versions', { content });
    expect(status, JSON.stringify(body)).toBe(201);
    expect(body.digest).toBe(digest);
  });

  it('are stored as they were written, with nothing but their references pinned', async () => {
    const generation = fc.record(
      {
        modelEndpoint: fc.constant('gpu'),
        model: fc.constant('small'),
        parameters: fc.record(
          { temperature: fc.double({ min: 0, max: 2, noNaN: true }), seed: fc.integer(), stop: fc.string() },
          { requiredKeys: [] },
        ),
        extraBody: fc.dictionary(fc.stringMatching(/^[a-z]{1,8}_x$/), fc.jsonValue({ maxDepth: 2 })),
      },
      { requiredKeys: ['modelEndpoint', 'model'] },
    );
    const chain = fc.record(
      {
        generate: generation,
        fallbacks: fc.array(generation, { maxLength: 3 }),
        retry: fc.record({ maxAttempts: fc.integer({ min: 1, max: 10 }) }),
        output: fc.constant({ schema: { type: 'object' } }),
      },
      { requiredKeys: ['generate'] },
    );
    await fc.assert(
      fc.asyncProperty(chain, async (given) => {
        const { status, body } = await registry.call('POST', '/chains/c/versions', {
          content: { ...given, prompt: 'p@1' },
        });
        expect(status, JSON.stringify(body)).toBeLessThan(300);
        const { text } = canonical({ ...given, prompt } as unknown as Json);
        expect(body.digest).toBe(`sha256:${createHash('sha256').update(text).digest('hex')}`);
      }),
      { numRuns: 30 },
    );
  });
});
