import { isTime } from '#libs/core/histogram/log-bins.js';
import { UNIT_TOTALS, type UnitTotal } from '#libs/core/ab-test/metrics.js';

interface Total {
  /** Of table `ab_test_unit`. */
  readonly column: string;
  /** Over rows `i` of table `inference`. */
  readonly sum: string;
  /** What one of the column is in the unit of the total, unless 1: times are whole microseconds, whose sums are exact. */
  readonly scale?: number;
}

const where = (condition: string): string => `count(*) FILTER (WHERE ${condition})`;
const total = (value: string): string => `coalesce(sum(${value}), 0)::bigint`;

const microseconds = (column: string): string =>
  `coalesce(sum(round(${column} * 1000)::bigint) FILTER (WHERE ${isTime(column)}), 0)::bigint`;

/** How the totals of a unit are kept and what they are sums of. Requests that failed and streams that broke off are in. */
export const TOTALS: Readonly<Record<UnitTotal, Total>> = {
  requests: { column: 'requests', sum: 'count(*)' },
  errors: { column: 'errors', sum: where(`i.status IN ('error', 'interrupted')`) },
  cancelled: { column: 'cancelled', sum: where(`i.status = 'cancelled'`) },
  fallbacks: { column: 'fallbacks', sum: where(`i.model_calls @> '[{"step": "fallback"}]'`) },
  schemaRows: { column: 'schema_rows', sum: 'count(i.schema_valid)' },
  schemaValid: { column: 'schema_valid', sum: where('i.schema_valid') },
  guardBlocks: {
    column: 'guard_blocks',
    sum: where(`i.finish_reason = 'content_filter' OR i.error_code LIKE 'guard%'`),
  },
  latencyRows: { column: 'latency_rows', sum: where(isTime('i.latency_ms')) },
  latencyMs: { column: 'latency_us', sum: microseconds('i.latency_ms'), scale: 0.001 },
  ttftRows: { column: 'ttft_rows', sum: where(isTime('i.ttft_ms')) },
  ttftMs: { column: 'ttft_us', sum: microseconds('i.ttft_ms'), scale: 0.001 },
  costMicroUsd: { column: 'cost_micro_usd', sum: total('i.cost_micro_usd') },
  inputTokens: { column: 'input_tokens', sum: total('i.input_tokens') },
  outputTokens: { column: 'output_tokens', sum: total('i.output_tokens') },
};

const inOrder = UNIT_TOTALS.map((name) => TOTALS[name]);
/** Columns of table `ab_test_unit` after its key, in one order everywhere. */
export const TOTAL_COLUMNS = inOrder.map(({ column }) => column);
export const TOTAL_LIST = TOTAL_COLUMNS.join(', ');
/** Their sums over rows `i`, in that order. */
export const TOTAL_SUMS = inOrder.map(({ column, sum }) => `${sum} AS ${column}`).join(',\n    ');
