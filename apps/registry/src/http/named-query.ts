import { ApiPropertyOptional } from '@nestjs/swagger';
import { Transform } from 'class-transformer';
import { IsBoolean, IsOptional, IsString, MaxLength } from 'class-validator';
import { PageQuery } from './page.js';

/** Query of a list of named things, ordered by name. */
export class NamedQuery extends PageQuery {
  @ApiPropertyOptional({ description: 'Only names that start with this.' })
  @IsOptional()
  @IsString()
  @MaxLength(256)
  prefix?: string;

  @ApiPropertyOptional({ description: 'Show archived ones too.', default: false })
  @IsOptional()
  @Transform(({ value }: { value: unknown }) => (value === 'true' ? true : value === 'false' ? false : value))
  @IsBoolean({ message: 'must be true or false' })
  includeArchived: boolean = false;
}
