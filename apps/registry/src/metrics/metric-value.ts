/**
 * A value of a metric in JSON: a number, or one of the names that proto3's JSON mapping gives to what JSON has no
 * number for. https://protobuf.dev/programming-guides/json/
 */
export type MetricValueJson = number | 'NaN' | 'Infinity' | '-Infinity';

const NAMED: Readonly<Record<string, number>> = { NaN, Infinity, '-Infinity': -Infinity };

/** Undefined unless it is a double, or the name of one. */
export function parseMetricValue(given: unknown): number | undefined {
  if (typeof given === 'number') return given;
  return typeof given === 'string' && Object.hasOwn(NAMED, given) ? NAMED[given] : undefined;
}

/** JSON.stringify writes 0 for -0; V8's raw JSON keeps the sign. https://github.com/tc39/proposal-json-parse-with-source */
const NEGATIVE_ZERO = (JSON as unknown as { rawJSON(text: string): number }).rawJSON('-0');

export function metricValueJson(value: number): MetricValueJson {
  if (Object.is(value, -0)) return NEGATIVE_ZERO;
  return Number.isFinite(value) ? value : (String(value) as MetricValueJson);
}

/** As PostgreSQL reads it back to the same double. */
export function metricValueSql(value: number): string {
  return Object.is(value, -0) ? '-0' : String(value);
}

/** In PostgreSQL's order of doubles: NaN equals itself and is greater than all others. */
export function compareMetricValues(a: number, b: number): number {
  if (Number.isNaN(a) || Number.isNaN(b)) return Number(Number.isNaN(a)) - Number(Number.isNaN(b));
  return a < b ? -1 : a > b ? 1 : 0;
}
