import { applyDecorators, type Type } from '@nestjs/common';
import { ApiOkResponse, ApiExtraModels, ApiPropertyOptional, getSchemaPath } from '@nestjs/swagger';
import { Type as Convert } from 'class-transformer';
import { IsInt, IsOptional, IsString, Max, MaxLength, Min } from 'class-validator';
import { DomainError } from '#libs/core/errors/catalogue.js';

/** Query of every list. Extend it with the filters of the noun. */
export class PageQuery {
  @ApiPropertyOptional({
    description: 'Most items in the page.',
    type: 'integer',
    minimum: 1,
    maximum: 200,
    default: 50,
  })
  @IsOptional()
  @Convert(() => Number)
  @IsInt()
  @Min(1)
  @Max(200)
  limit: number = 50;

  @ApiPropertyOptional({ description: '`nextCursor` of the page before. Opaque.' })
  @IsOptional()
  @IsString()
  @MaxLength(1024)
  cursor?: string;
}

export interface Page<T> {
  items: T[];
  /** Give it back as `cursor` for the next page; null on the last one. */
  nextCursor: string | null;
}

/**
 * Cuts a page from rows that were read with `limit + 1`.
 * @param keyOf the keyset position of a row: what the next page must lie behind.
 */
export function pageOf<Row, T>(
  rows: Row[],
  limit: number,
  keyOf: (row: Row) => unknown,
  toItem: (row: Row) => T,
): Page<T> {
  const shown = rows.slice(0, limit);
  const last = shown.at(-1);
  return {
    items: shown.map(toItem),
    nextCursor: rows.length > limit && last !== undefined ? encodeCursor(keyOf(last)) : null,
  };
}

/** Opaque text of a keyset position. */
export function encodeCursor(key: unknown): string {
  return Buffer.from(JSON.stringify(key)).toString('base64url');
}

/**
 * The keyset position in a cursor; undefined for the first page.
 * @throws DomainError INVALID_CURSOR unless `isKey` accepts it.
 */
export function decodeCursor<K>(
  cursor: string | undefined,
  isKey: (key: unknown) => key is K,
): K | undefined {
  if (cursor === undefined) return undefined;
  try {
    const key: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8'));
    if (isKey(key)) return key;
  } catch {
    // falls through: not JSON is as bad as the wrong shape
  }
  throw new DomainError(
    'INVALID_CURSOR',
    'The cursor is not one this list returned; start again without it.',
  );
}

export const isStringKey = (key: unknown): key is string =>
  typeof key === 'string' && key.length <= 512 && !key.includes('\0');
export const isNumberKey = (key: unknown): key is number => Number.isSafeInteger(key);

/** Documents a `{ items, nextCursor }` answer of `model`. */
export function ApiPage(model: Type, description: string): MethodDecorator {
  return applyDecorators(
    ApiExtraModels(model),
    ApiOkResponse({
      description,
      schema: {
        type: 'object',
        required: ['items', 'nextCursor'],
        properties: {
          items: { type: 'array', items: { $ref: getSchemaPath(model) }, description: 'The page.' },
          nextCursor: {
            type: 'string',
            nullable: true,
            description: 'Cursor of the next page; null on the last.',
          },
        },
      },
    }),
  );
}
