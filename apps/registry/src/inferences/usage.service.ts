import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import type { Caller } from '../http/caller.js';
import { decodeCursor, isStringKey, pageOf, type Page } from '../http/page.js';
import { timeRange } from './time-range.js';
import type { UsageDto, UsageGroup, UsageQuery } from './usage.dto.js';
import { keysOf, NONE, usageStatement } from './usage-sql.js';

/** Of PostgreSQL's integer. */
const MAX_INTEGER = 2_147_483_647;

/** What was used and what it cost, out of the inference rows. */
@Injectable()
export class UsageService {
  constructor(private readonly database: DataSource) {}

  /** Groups in order of their keys. @throws DomainError VALIDATION_FAILED (the time range), INVALID_CURSOR. */
  async list(caller: Caller, query: UsageQuery): Promise<Page<UsageDto>> {
    const keys = keysOf(query.groupBy);
    const after = decodeCursor(query.cursor, (key) => isKeyOf(query.groupBy, key));
    const { text, values } = usageStatement(caller.workspaceId, timeRange(query), query, after);
    const rows: Record<string, unknown>[] = await this.database.query(text, [...values]);
    return pageOf(
      rows,
      query.limit,
      (row) => keys.map((key) => row[key]),
      (row) => named(row, keys),
    );
  }
}

function named(row: Record<string, unknown>, keys: readonly string[]): UsageDto {
  const item = { ...row };
  for (const key of keys) if (item[key] === NONE) item[key] = null;
  return item as unknown as UsageDto;
}

function isKeyOf(groupBy: readonly UsageGroup[], key: unknown): key is (string | number)[] {
  const keys = keysOf(groupBy);
  if (!Array.isArray(key) || key.length !== keys.length) return false;
  return keys.every((name, index) => {
    const value: unknown = key[index];
    return name === 'chainVersion'
      ? Number.isInteger(value) && Math.abs(value as number) <= MAX_INTEGER
      : isStringKey(value);
  });
}
