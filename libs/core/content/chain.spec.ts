import { describe, expect, it } from 'vitest';
import { DomainError } from '../errors/catalogue.js';
import { generationsOf, misfitFallback, taskOf } from './chain.js';
import type { Problem } from './problems.js';
import type { ChainContent, Generation } from './types.js';
import { validateContent } from './validate.js';

const place = { modelEndpoint: 'gpu', model: 'bge' };
const embedding = (fallback: Partial<Generation> = {}, embed: Partial<Generation> = {}): ChainContent => ({
  embed: { ...place, ...embed },
  fallbacks: [{ ...place, modelEndpoint: 'vendor', ...fallback }],
});
const bge = (version: number) => ({ name: 'bge', version, digest: `sha256:${'0'.repeat(64)}` });

function problems(content: unknown): readonly Problem[] {
  try {
    validateContent('chain', content);
    return [];
  } catch (error) {
    return (error as DomainError).details as Problem[];
  }
}

describe('a chain that embeds', () => {
  it('has no prompt, and says what it does', () => {
    const chain = embedding({}, { parameters: { dimensions: 256, encoding_format: 'float' } });
    expect(problems({ ...chain, retry: { maxAttempts: 2 } })).toEqual([]);
    expect(taskOf(chain)).toBe('embed');
    expect(generationsOf(chain).map(({ modelEndpoint }) => modelEndpoint)).toEqual(['gpu', 'vendor']);
  });

  it.each([
    ['a prompt', { prompt: 'p@1' }, '/prompt', 'has no place here'],
    ['a generation', { generate: place }, '/generate', 'has no place here'],
    ['an output contract', { output: { schema: {} } }, '/output', 'has no place here'],
    ['steps', { steps: {} }, '/steps', 'has no place here'],
    [
      'a temperature',
      { embed: { ...place, parameters: { temperature: 0 } } },
      '/embed/parameters',
      'temperature',
    ],
    [
      'no dimensions',
      { embed: { ...place, parameters: { dimensions: 0 } } },
      '/embed/parameters/dimensions',
      '>= 1',
    ],
    [
      'a fallback that generates',
      { fallbacks: [{ ...place, parameters: { max_tokens: 4 } }] },
      '/fallbacks/0/parameters',
      'max_tokens',
    ],
    ['a fallback without a model', { fallbacks: [{ modelEndpoint: 'gpu' }] }, '/fallbacks/0', '"model"'],
    [
      'texts of its own',
      { embed: { ...place, extraBody: { input: ['a'] } } },
      '/embed/extraBody/input',
      'set by the gateway',
    ],
    ['a field nobody knows', { dimensions: 3 }, '', '"dimensions"'],
  ])('is refused with %s', (_, more, path, message) => {
    expect(problems({ embed: place, ...more })).toEqual([
      { path, message: expect.stringContaining(message) },
    ]);
  });

  it('has only fallbacks whose vectors can be compared with its own', () => {
    expect(misfitFallback(embedding())).toBeUndefined();
    expect(misfitFallback(embedding({ model: 'ada' }))).toMatchObject({ index: 0 });
    expect(misfitFallback(embedding({ model: 'ada', registeredModel: bge(1) }))).toBeDefined();
    const known = { registeredModel: bge(1) };
    expect(misfitFallback(embedding({ model: 'bge-m3', ...known }, known))).toBeUndefined();
    expect(misfitFallback(embedding({ registeredModel: bge(2) }, known))).toBeDefined();
    const short = { parameters: { dimensions: 64 } };
    expect(misfitFallback(embedding({}, short))?.message).toContain('no dimensions where the chain pins 64');
    expect(misfitFallback(embedding(short))).toBeDefined();
    expect(misfitFallback(embedding({ extraBody: { dimensions: 64 } }, short))).toBeUndefined();
  });
});

describe('a chain that generates', () => {
  const chain = { prompt: 'p@1', generate: place };

  it('falls back to any model', () => {
    const content = { ...chain, prompt: bge(1), fallbacks: [{ ...place, model: 'other' }] };
    expect([taskOf(content), misfitFallback(content)]).toEqual(['generate', undefined]);
  });

  it.each([
    ['no prompt', { generate: place }, '', 'lacks the field "prompt"'],
    ['no generation', { prompt: 'p@1' }, '', 'lacks the field "generate"'],
    [
      'dimensions',
      { ...chain, generate: { ...place, parameters: { dimensions: 3 } } },
      '/generate/parameters',
      '"dimensions"',
    ],
    [
      'a fallback that embeds',
      { ...chain, fallbacks: [{ ...place, parameters: { dimensions: 3 } }] },
      '/fallbacks/0/parameters',
      '"dimensions"',
    ],
  ])('is refused with %s', (_, content, path, message) => {
    expect(problems(content)).toEqual([{ path, message: expect.stringContaining(message) }]);
  });
});
