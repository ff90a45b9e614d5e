import type { Scale } from '../statistics/effect.js';
import type { MetricResult, Reading, ResultInterval } from './results.js';

/** A number with as many digits as a reader wants. */
export function number(value: number): string {
  if (value === 0) return '0';
  const size = Math.abs(value);
  if (size >= 1000) return Math.round(value).toLocaleString('en');
  return String(Number(value.toPrecision(3)));
}

/** A value of a metric: 4.2 %, 812 ms, $0.0013. */
export function valueIn(unit: string, value: number): string {
  if (unit === 'ratio') return `${number(value * 100)} %`;
  if (unit === 'ms') return `${number(value)} ms`;
  if (unit === 'micro_usd') return `$${number(value / 1e6)}`;
  if (unit === 'score') return number(value);
  return `${number(value)} ${unit}`;
}

/** A difference with its sign: +3.1 % of control, or +0.4 percentage points. */
export function differenceIn(unit: string, scale: Scale, value: number): string {
  const sign = value > 0 ? '+' : value < 0 ? '−' : '±';
  const size = Math.abs(value);
  if (scale === 'relative') return `${sign}${number(size * 100)} %`;
  if (unit === 'ratio') return `${sign}${number(size * 100)} percentage points`;
  return `${sign}${valueIn(unit, size)}`;
}

export function intervalIn(unit: string, scale: Scale, { lower, upper }: ResultInterval): string {
  const end = (value: number | null, open: string) =>
    value === null ? open : differenceIn(unit, scale, value);
  return `${end(lower, 'no lower end')} to ${end(upper, 'no upper end')}`;
}

/** "accuracy +3.1 % (95 % always-valid interval +1.2 % to +5 %, p = 0.002)". */
export function readingIn(metric: MetricResult, scale: Scale, reading: Reading, alpha: number): string {
  const { interval, adjustedPValue } = reading.alwaysValid;
  const level = number((1 - alpha) * 100);
  return (
    `${metric.metric} ${differenceIn(metric.unit, scale, reading.estimate)} ` +
    `(${level} % always-valid interval ${intervalIn(metric.unit, scale, interval)}, p ${pIn(adjustedPValue)})`
  );
}

function pIn(p: number): string {
  return p < 0.0001 ? '< 0.0001' : `= ${number(p)}`;
}

/** 5.3 %. */
export function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}

export function days(value: number): string {
  if (value < 1 / 24) return 'less than an hour';
  if (value < 2) return `${number(Math.ceil(value * 24))} hours`;
  return `${number(Math.ceil(value))} days`;
}
