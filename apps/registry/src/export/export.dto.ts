import { ApiPropertyOptional, OmitType } from '@nestjs/swagger';
import { Transform } from 'class-transformer';
import { IsBoolean, IsIn, IsOptional } from 'class-validator';
import { InferenceQuery } from '../inferences/inference.dto.js';

const FORMATS = ['jsonl', 'csv', 'parquet'] as const;
export type ExportFormat = (typeof FORMATS)[number];

function Flag(description: string): PropertyDecorator {
  return (target, property) => {
    ApiPropertyOptional({ description, type: Boolean, default: false })(target, property);
    IsOptional()(target, property);
    Transform(({ value }: { value: unknown }) =>
      value === 'true' ? true : value === 'false' ? false : value,
    )(target, property);
    IsBoolean({ message: 'must be true or false' })(target, property);
  };
}

export class ExportQuery extends OmitType(InferenceQuery, ['limit', 'cursor'] as const) {
  @ApiPropertyOptional({
    description:
      'jsonl: one JSON object per line. csv: RFC 4180 with a header; a text that a spreadsheet would take for a formula begins with an apostrophe. parquet: as in the archive.',
    enum: FORMATS,
    default: 'jsonl',
  })
  @IsOptional()
  @IsIn(FORMATS)
  format: ExportFormat = 'jsonl';

  @Flag('Whether metadata, request and response are exported too, as text, as they were sent.')
  payloads: boolean = false;

  @Flag('Whether a column `feedback` is added: the judgements that count, as a JSON list.')
  feedback: boolean = false;
}
