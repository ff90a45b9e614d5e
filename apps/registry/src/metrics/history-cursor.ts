import { decodeCursor, encodeCursor, type Page } from '../http/page.js';
import { parseInt64 } from './int64.js';
import type { HistoryPage } from './metric-history.service.js';
import type { HistoryPoint } from './point-columns.js';
import { pointDto, type MetricPointDto } from './metric.dto.js';

/** Position of a page as `[step, timeMs, value]`; values as text, because JSON has no NaN and loses the sign of -0. */
type Key = [number | string, number | string, string];

/** `after` of the cursor; nothing for the first page. @throws DomainError INVALID_CURSOR. */
export function historyPosition(cursor: string | undefined): { after?: HistoryPoint } {
  const key = decodeCursor(cursor, isKey);
  if (key === undefined) return {};
  return { after: { step: parseInt64(key[0])!, timeMs: parseInt64(key[1])!, value: Number(key[2]) } };
}

export function historyPageDto({ points, next }: HistoryPage): Page<MetricPointDto> {
  return {
    items: points.map(pointDto),
    nextCursor: next && encodeCursor([next.step, next.timeMs, String(next.value)] satisfies Key),
  };
}

const isKey = (key: unknown): key is Key =>
  Array.isArray(key) &&
  key.length === 3 &&
  parseInt64(key[0]) !== undefined &&
  parseInt64(key[1]) !== undefined &&
  typeof key[2] === 'string' &&
  (key[2] === 'NaN' || (key[2].trim() !== '' && !Number.isNaN(Number(key[2]))));
