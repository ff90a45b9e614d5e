import { applyDecorators } from '@nestjs/common';
import { ApiProperty, ApiPropertyOptional, ApiResponse } from '@nestjs/swagger';
import { ERROR_STATUS, type ErrorCode } from '#libs/core/errors/catalogue.js';

/** Body of every error of the native API. */
export class ErrorDto {
  @ApiProperty({
    description: 'What went wrong, for programs.',
    enum: Object.keys(ERROR_STATUS),
    example: 'VALIDATION_FAILED',
  })
  code!: ErrorCode;

  @ApiProperty({
    description: 'What went wrong and how to mend it, for people.',
    example: 'The request is not valid: /name must have 1 to 128 characters.',
  })
  message!: string;

  @ApiPropertyOptional({
    description: 'Particulars, by code: one entry per bad field, the two revisions of a conflict…',
    // Without it Nest would say that it is an object.
    oneOf: [{ type: 'object' }, { type: 'array', items: { type: 'object' } }],
    example: [{ path: '/name', message: 'must have 1 to 128 characters' }],
  })
  details?: unknown;

  @ApiProperty({ description: 'Also in header x-request-id; finds the request in the log.' })
  requestId!: string;
}

/** Documents the errors an operation can answer, grouped by status. */
export function ApiErrors(...codes: ErrorCode[]): MethodDecorator & ClassDecorator {
  const byStatus = new Map<number, ErrorCode[]>();
  for (const code of codes) {
    const status = ERROR_STATUS[code];
    byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  return applyDecorators(
    ...[...byStatus].map(([status, names]) =>
      ApiResponse({
        status,
        description: names.join(', '),
        type: ErrorDto,
        example: {
          code: names[0],
          message: 'What was wrong, and how to mend it.',
          requestId: '019c0f3e-5b7a-7c7e-9f0e-3a5d2f6b8c11',
        },
      }),
    ),
  );
}
