import shipped from './prices.json' with { type: 'json' };
import type { TokenPrices } from './cost.js';

/** 1 USD per token: beyond any real price, and small enough that no cost leaves the integers. */
export const MAX_PRICE = 1_000_000_000_000;

/** What a vendor asks for a model. */
export interface ListedPrices extends TokenPrices {
  readonly vendor: string;
  readonly model: string;
  /** When the source was read, `YYYY-MM-DD`. */
  readonly date: string;
  readonly source: string;
}

type Fields = Readonly<Record<string, unknown>>;

const REQUIRED = ['inputMicroUsdPerMillionTokens', 'outputMicroUsdPerMillionTokens'] as const;
const OPTIONAL = [
  'cachedInputMicroUsdPerMillionTokens',
  'cacheWriteInputMicroUsdPerMillionTokens',
  'reasoningMicroUsdPerMillionTokens',
] as const;
const PRICES: readonly string[] = [...REQUIRED, ...OPTIONAL];

/** What keeps a value from being token prices; undefined where it is some. */
export function pricesProblem(value: unknown): string | undefined {
  if (!isFields(value)) return 'must be an object of prices';
  const unknown = Object.keys(value).find((name) => !PRICES.includes(name));
  if (unknown !== undefined) return `has no price "${unknown.slice(0, 100)}"; there are ${PRICES.join(', ')}`;
  for (const name of REQUIRED) if (value[name] === undefined) return `must have ${name}`;
  for (const name of PRICES) {
    const price = value[name];
    if (price === undefined || (price === null && !(REQUIRED as readonly string[]).includes(name))) continue;
    if (!Number.isInteger(price) || (price as number) < 0 || (price as number) > MAX_PRICE)
      return `${name} must be a whole number of micro-USD from 0 to ${MAX_PRICE}`;
  }
  return undefined;
}

/**
 * Reads a list of prices: `{ vendors: { vendor: { model: { …prices, date, source } } } }`.
 * @throws RangeError naming the first entry that is none.
 */
export function readPriceList(list: unknown): ListedPrices[] {
  const vendors = isFields(list) ? list['vendors'] : undefined;
  if (!isFields(vendors)) throw new RangeError('There is no object "vendors".');
  return Object.entries(vendors).flatMap(([vendor, models]) => {
    if (!isFields(models)) throw new RangeError(`The vendor "${vendor}" must be an object of models.`);
    return Object.entries(models).map(([model, entry]) => readEntry(vendor, model, entry));
  });
}

function readEntry(vendor: string, model: string, entry: unknown): ListedPrices {
  const { date, source, ...prices } = isFields(entry) ? entry : {};
  const problem =
    pricesProblem(prices) ??
    (typeof date !== 'string' || !/^\d{4}-\d\d-\d\d$/.test(date)
      ? 'must have a date, YYYY-MM-DD'
      : undefined) ??
    (typeof source !== 'string' || source === '' ? 'must have a source' : undefined);
  if (problem !== undefined) throw new RangeError(`The prices of "${vendor}" for "${model}": ${problem}.`);
  return {
    vendor,
    model,
    ...(prices as unknown as TokenPrices),
    date: date as string,
    source: source as string,
  };
}

/** The list that this version brings. */
export const SHIPPED_PRICES: readonly ListedPrices[] = readPriceList(shipped);

/** By vendor and model; entries of the second list take the place of those of the first. */
export function mergePriceLists(
  first: readonly ListedPrices[],
  second: readonly ListedPrices[],
): ListedPrices[] {
  const merged = new Map([...first, ...second].map((entry) => [`${entry.vendor} ${entry.model}`, entry]));
  return [...merged.values()].sort((a, b) => compare(a.vendor, b.vendor) || compare(a.model, b.model));
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
