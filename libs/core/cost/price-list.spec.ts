import { describe, expect, it } from 'vitest';
import { MAX_PRICE, mergePriceLists, pricesProblem, readPriceList, SHIPPED_PRICES } from './price-list.js';

const PRICES = { inputMicroUsdPerMillionTokens: 1, outputMicroUsdPerMillionTokens: 2 };
const ENTRY = { ...PRICES, date: '2026-11-22', source: 'the vendor' };
const listOf = (entry: unknown) => ({ vendors: { acme: { large: entry } } });

describe('the list of prices', () => {
  it('that ships says of each entry when and where it was read, and charges no more for a cache than without', () => {
    expect(SHIPPED_PRICES.length).toBeGreaterThan(10);
    for (const entry of SHIPPED_PRICES) {
      expect(entry).toMatchObject({ date: expect.stringMatching(/^2026-/), source: expect.any(String) });
      // Nobody sells a token for less than a hundredth of a cent per thousand, or for more than a cent each.
      expect(entry.inputMicroUsdPerMillionTokens).toBeGreaterThan(50_000);
      expect(entry.outputMicroUsdPerMillionTokens).toBeLessThan(200_000_000);
      expect(entry.outputMicroUsdPerMillionTokens).toBeGreaterThan(entry.inputMicroUsdPerMillionTokens);
      expect(entry.cachedInputMicroUsdPerMillionTokens).toBeLessThan(entry.inputMicroUsdPerMillionTokens);
    }
  });

  it('is read entry by entry, and one of the operator takes the place of one that ships', () => {
    const own = readPriceList(listOf(ENTRY));
    expect(own).toEqual([{ vendor: 'acme', model: 'large', ...ENTRY }]);
    const dearer = [{ ...own[0]!, inputMicroUsdPerMillionTokens: 9 }];
    const other = [{ ...own[0]!, model: 'a-small' }];
    expect(mergePriceLists([...own, ...other], dearer)).toEqual([...other, ...dearer]);
  });

  it.each([
    [{}, 'There is no object "vendors".'],
    [{ vendors: { acme: [] } }, 'The vendor "acme"'],
    [listOf(3), 'must have inputMicroUsdPerMillionTokens'],
    [listOf({ ...ENTRY, inputMicroUsdPerMillionTokens: 0.5 }), 'must be a whole number'],
    [listOf({ ...ENTRY, outputMicroUsdPerMillionTokens: -1 }), 'must be a whole number'],
    [listOf({ ...ENTRY, input: 1 }), 'has no price "input"'],
    [listOf(PRICES), 'must have a date'],
    [listOf({ ...ENTRY, source: '' }), 'must have a source'],
  ])('refuses %j and says why', (list, message) => {
    expect(() => readPriceList(list)).toThrow(message);
  });
});

describe('token prices', () => {
  it('may leave out, or set to null, what is priced like the rest', () => {
    expect(pricesProblem(PRICES)).toBeUndefined();
    expect(pricesProblem({ ...PRICES, cachedInputMicroUsdPerMillionTokens: null })).toBeUndefined();
    expect(pricesProblem({ ...PRICES, reasoningMicroUsdPerMillionTokens: MAX_PRICE })).toBeUndefined();
    expect(pricesProblem({ ...PRICES, reasoningMicroUsdPerMillionTokens: MAX_PRICE + 1 })).toBeDefined();
    expect(pricesProblem({ ...PRICES, inputMicroUsdPerMillionTokens: null })).toBeDefined();
  });
});
