import { applyDecorators } from '@nestjs/common';
import { fullFormats } from 'ajv-formats/dist/formats.js';
import { IsString, ValidateBy } from 'class-validator';
import { DomainError } from '#libs/core/errors/catalogue.js';

/** 9999-12-31T23:59:59.999Z: RFC 3339 has four digits for the year. */
const MAX_TIME_MS = 253_402_300_799_999;

/**
 * A point in time from milliseconds since 1970 or an RFC 3339 text.
 * @param path JSON Pointer of the field, for the error message.
 * @throws DomainError VALIDATION_FAILED unless it lies between the years 1970 and 9999.
 */
export function toTime(given: number | string | Date, path: string): Date {
  const time = given instanceof Date ? given : new Date(given);
  const timeMs = time.getTime();
  if (timeMs >= 0 && timeMs <= MAX_TIME_MS) return time;
  throw new DomainError(
    'VALIDATION_FAILED',
    `${path} must be a time between 1970 and 9999 (in milliseconds since 1970: 0 to ${MAX_TIME_MS}); perhaps it was sent in microseconds or nanoseconds.`,
    [{ path, message: 'must be a time between 1970 and 9999' }],
  );
}

const isDateTime = (fullFormats['date-time'] as { validate: (text: string) => boolean }).validate;

/** A point in time as RFC 3339 spells it. */
export const IsRfc3339 = (): PropertyDecorator =>
  applyDecorators(
    IsString(),
    ValidateBy({
      name: 'isTimestamp',
      validator: {
        // A leap second is a time in RFC 3339, but not one that Date knows.
        validate: (value: unknown) =>
          typeof value === 'string' && isDateTime(value) && !Number.isNaN(Date.parse(value)),
        defaultMessage: () =>
          'must be an RFC 3339 time, such as 2026-11-22T00:00:00Z (in a URL, "+" is written %2B)',
      },
    }),
  );
