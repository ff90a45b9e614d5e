import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { costMicroUsd } from './cost.js';

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

  it('is exact where a double would not be', () => {
    const dear = { inputMicroUsdPerMillionTokens: 9_007_199_254_740_991, outputMicroUsdPerMillionTokens: 0 };
    expect(costMicroUsd(dear, 999_999, 0)).toBe(9_007_190_247_541_736);
  });
});
