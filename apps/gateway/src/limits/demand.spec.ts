import { describe, expect, it } from 'vitest';
import { demandOf, estimatePromptTokens, maxOutputTokens } from './demand.js';

describe('the demand of a request', () => {
  it('is a third of its bytes in prompt tokens, whatever an inline file weighs', () => {
    const body = (url: string) =>
      Buffer.from(JSON.stringify({ messages: [{ content: [{ image_url: { url } }, { text: 'Hi' }] }] }));
    const small = estimatePromptTokens(body('https://images.example/a.png'));
    expect(small).toBe(Math.ceil(body('https://images.example/a.png').length / 3));
    const large = estimatePromptTokens(body(`data:image/png;base64,${'A'.repeat(900_000)}`));
    expect(large).toBeGreaterThan(1_500);
    expect(large).toBeLessThan(1_600);
    expect(estimatePromptTokens(Buffer.from('never ends ;base64,AAAA'))).toBe(8);
  });

  it('takes the longest answer from whoever wins, and a thousand tokens where nobody says', () => {
    expect(maxOutputTokens(undefined, { max_tokens: 50 }, { max_completion_tokens: 9 })).toBe(50);
    expect(maxOutputTokens({ max_tokens: 7 }, { max_tokens: 50 })).toBe(7);
    expect(maxOutputTokens(undefined, undefined, { max_completion_tokens: 9, max_tokens: 10 })).toBe(10);
    expect(maxOutputTokens({ max_tokens: '100000' })).toBe(100_000);
    expect(maxOutputTokens({}, undefined, { max_tokens: 'many' })).toBe(1024);
  });

  it('costs what prompt and answers cost together', () => {
    const prices = { inputMicroUsdPerMillionTokens: 1_000_000, outputMicroUsdPerMillionTokens: 2_000_000 };
    expect(demandOf(Buffer.alloc(300), 50, 2, prices)).toEqual({
      promptTokens: 100,
      outputTokens: 100,
      costMicroUsd: 300,
      promptCostMicroUsd: 100,
    });
    expect(demandOf(Buffer.alloc(300), 50, 1, undefined).costMicroUsd).toBe(0);
    expect(demandOf(Buffer.alloc(300), 1e308, 1e308, prices).outputTokens).toBe(1e12);
    expect(demandOf(Buffer.alloc(300), 0, Infinity, prices).outputTokens).toBe(0);
  });
});
