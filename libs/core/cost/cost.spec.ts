import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { costMicroUsd, pricesOf, type TokenPrices } from './cost.js';

describe('the cost of a model call', () => {
  const prices = { inputMicroUsdPerMillionTokens: 150_000, outputMicroUsdPerMillionTokens: 600_000 };

  it('is tokens times price, in whole micro-USD', () => {
    expect(costMicroUsd(prices, 1_000_000, 1_000_000)).toBe(750_000);
    expect(costMicroUsd(prices, 1000, 500)).toBe(450);
  });

  it('rounds half up', () => {
    expect(
      costMicroUsd({ inputMicroUsdPerMillionTokens: 500_000, outputMicroUsdPerMillionTokens: 0 }, 1, 0),
    ).toBe(1);
    expect(
      costMicroUsd({ inputMicroUsdPerMillionTokens: 499_999, outputMicroUsdPerMillionTokens: 0 }, 1, 0),
    ).toBe(0);
  });

  it('is what exact arithmetic gives, for any prices and tokens', () => {
    const whole = fc.nat(2_000_000_000);
    fc.assert(
      fc.property(whole, whole, whole, whole, (input, output, inPrice, outPrice) => {
        const scaled = BigInt(input) * BigInt(inPrice) + BigInt(output) * BigInt(outPrice);
        const each = { inputMicroUsdPerMillionTokens: inPrice, outputMicroUsdPerMillionTokens: outPrice };
        expect(costMicroUsd(each, input, output)).toBe(Number((scaled + 500_000n) / 1_000_000n));
      }),
    );
  });

  it('charges every token once, whatever parts a server reports', () => {
    const count = fc.nat(3_000_000);
    const part = fc.option(fc.nat(4_000_000));
    const price = fc.nat(20_000_000);
    const special = fc.option(price, { nil: undefined });
    fc.assert(
      fc.property(
        count,
        count,
        fc.record({ cachedInputTokens: part, cacheWriteInputTokens: part, reasoningTokens: part }),
        fc.record<TokenPrices>({
          inputMicroUsdPerMillionTokens: price,
          outputMicroUsdPerMillionTokens: price,
          cachedInputMicroUsdPerMillionTokens: special,
          cacheWriteInputMicroUsdPerMillionTokens: special,
          reasoningMicroUsdPerMillionTokens: special,
        }),
        (input, output, parts, each) => {
          const inputs = [
            each.inputMicroUsdPerMillionTokens,
            each.cachedInputMicroUsdPerMillionTokens ?? each.inputMicroUsdPerMillionTokens,
            each.cacheWriteInputMicroUsdPerMillionTokens ?? each.inputMicroUsdPerMillionTokens,
          ];
          const outputs = [
            each.outputMicroUsdPerMillionTokens,
            each.reasoningMicroUsdPerMillionTokens ?? each.outputMicroUsdPerMillionTokens,
          ];
          const at = (pick: (...prices: number[]) => number) =>
            Math.floor((input * pick(...inputs) + output * pick(...outputs) + 500_000) / 1_000_000);
          const cost = costMicroUsd(each, input, output, parts);
          expect(cost).toBeGreaterThanOrEqual(at(Math.min));
          expect(cost).toBeLessThanOrEqual(at(Math.max));
        },
      ),
    );
  });

  it('takes cached, written and reasoning tokens out of what they are part of', () => {
    const vendor = {
      inputMicroUsdPerMillionTokens: 5_000_000,
      cachedInputMicroUsdPerMillionTokens: 500_000,
      cacheWriteInputMicroUsdPerMillionTokens: 6_250_000,
      outputMicroUsdPerMillionTokens: 25_000_000,
      reasoningMicroUsdPerMillionTokens: 50_000_000,
    };
    const parts = { cachedInputTokens: 600, cacheWriteInputTokens: 300, reasoningTokens: 40 };
    // 100 fresh at 5, 600 read at 0.5, 300 written at 6.25, 60 said at 25, 40 thought at 50 USD per million.
    expect(costMicroUsd(vendor, 1000, 100, parts)).toBe(500 + 300 + 1875 + 1500 + 2000);
    expect(costMicroUsd(prices, 1000, 100, parts)).toBe(costMicroUsd(prices, 1000, 100));
  });

  it('is that of the model where it has prices of its own', () => {
    const own = { inputMicroUsdPerMillionTokens: 1, outputMicroUsdPerMillionTokens: 2 };
    const all = { ...prices, byModel: new Map([['large', own]]) };
    expect(pricesOf(all, 'large')).toBe(own);
    expect(pricesOf(all, 'small')).toBe(all);
    expect(pricesOf({ ...prices, byModel: undefined }, 'small')).toMatchObject(prices);
  });

  it('is exact where a double would not be', () => {
    const dear = { inputMicroUsdPerMillionTokens: 9_007_199_254_740_991, outputMicroUsdPerMillionTokens: 0 };
    expect(costMicroUsd(dear, 999_999, 0)).toBe(9_007_190_247_541_736);
    const parts = { cachedInputTokens: 999_999, cacheWriteInputTokens: null, reasoningTokens: null };
    expect(costMicroUsd(dear, 999_999, 0, parts)).toBe(9_007_190_247_541_736);
  });
});
