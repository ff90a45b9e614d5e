import { describe, expect, it } from 'vitest';
import { costMicroUsd } from './cost.js';
import { NO_USAGE, readUsage } from './usage.js';

describe('the usage of an answer', () => {
  it('is read under OpenAI’s names', () => {
    expect(
      readUsage({
        prompt_tokens: 2006,
        completion_tokens: 300,
        total_tokens: 2306,
        prompt_tokens_details: { cached_tokens: 1920, audio_tokens: 0 },
        completion_tokens_details: { reasoning_tokens: 128 },
      }),
    ).toEqual({
      inputTokens: 2006,
      outputTokens: 300,
      cachedInputTokens: 1920,
      cacheWriteInputTokens: null,
      reasoningTokens: 128,
    });
  });

  it.each([
    ['xAI, grok-3-mini', 12, 1, 386, 399],
    ['xAI, with the completion empty', 21, 0, 60, 81],
  ])(
    'counts reasoning that lies beside the completion once: %s',
    (_, prompt, completion, reasoning, total) => {
      const usage = readUsage({
        prompt_tokens: prompt,
        completion_tokens: completion,
        total_tokens: total,
        completion_tokens_details: { reasoning_tokens: reasoning },
      });
      expect(usage).toMatchObject({ outputTokens: completion + reasoning, reasoningTokens: reasoning });
    },
  );

  it('counts reasoning that lies in the completion once, however much of it there is', () => {
    const inside = {
      prompt_tokens: 500,
      completion_tokens: 500,
      completion_tokens_details: { reasoning_tokens: 500 },
    };
    expect(readUsage({ ...inside, total_tokens: 1000 }).outputTokens).toBe(500);
    expect(readUsage(inside).outputTokens).toBe(500);
  });

  it.each([
    { prompt_tokens_details: { cached_tokens: 80, cache_write_tokens: 15 } },
    { prompt_tokens_details: { cached_tokens: 80, cache_creation_tokens: 15 } },
    { cache_read_input_tokens: 80, cache_creation_input_tokens: 15 },
  ])('finds the tokens of a cache in %j', (details) => {
    expect(readUsage({ prompt_tokens: 100, completion_tokens: 1, ...details })).toMatchObject({
      inputTokens: 100,
      cachedInputTokens: 80,
      cacheWriteInputTokens: 15,
    });
  });

  it.each([
    undefined,
    null,
    'many',
    [],
    {},
    { prompt_tokens: -1, completion_tokens: 1e12, prompt_tokens_details: 3 },
    { prompt_tokens: 1.5, completion_tokens_details: null, reasoning_tokens: 'all' },
  ])('knows nothing from %j', (value) => {
    expect(readUsage(value)).toEqual(NO_USAGE);
  });

  it('costs what the vendor says: its own figure for a request of xAI', () => {
    // https://github.com/Wei-Shaw/sub2api/issues/5771: the answer said cost_in_usd_ticks 232856000, at 1e10 to the USD.
    const usage = readUsage({
      prompt_tokens: 10_120,
      completion_tokens: 1499,
      total_tokens: 14_428,
      prompt_tokens_details: { cached_tokens: 128 },
      completion_tokens_details: { reasoning_tokens: 2809 },
    });
    const prices = {
      inputMicroUsdPerMillionTokens: 1_250_000,
      cachedInputMicroUsdPerMillionTokens: 200_000,
      outputMicroUsdPerMillionTokens: 2_500_000,
    };
    expect(costMicroUsd(prices, usage.inputTokens!, usage.outputTokens!, usage)).toBe(23_286);
  });
});
