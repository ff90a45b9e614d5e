import { applyDecorators } from '@nestjs/common';
import { ApiProperty } from '@nestjs/swagger';
import { DomainError } from '#libs/core/errors/catalogue.js';
import { IsRfc3339 } from '../http/timestamps.js';

/** Longest span of one query: a month of partitions. */
export const MAX_SPAN_DAYS = 31;
const DAY_MS = 86_400_000;

/** `from` is inside the range, `to` is not. */
export interface TimeRange {
  readonly from: Date;
  readonly to: Date;
}

/** A point in time as RFC 3339 spells it. */
export function IsTimestamp(description: string, example: string): PropertyDecorator {
  return applyDecorators(
    ApiProperty({ description, format: 'date-time', type: String, example }),
    IsRfc3339(),
  );
}

/** @throws DomainError VALIDATION_FAILED unless `to` lies after `from`, by at most 31 days. */
export function timeRange({ from, to }: { from: string; to: string }): TimeRange {
  const range = { from: new Date(from), to: new Date(to) };
  const spanMs = range.to.getTime() - range.from.getTime();
  const problem =
    spanMs <= 0
      ? '`to` must lie after `from`'
      : spanMs > MAX_SPAN_DAYS * DAY_MS
        ? `the range spans ${Math.ceil(spanMs / DAY_MS)} days; ask for at most ${MAX_SPAN_DAYS} at a time`
        : undefined;
  if (problem !== undefined)
    throw new DomainError('VALIDATION_FAILED', `The time range is not valid: ${problem}.`, [
      { path: '/to', message: problem },
    ]);
  return range;
}
