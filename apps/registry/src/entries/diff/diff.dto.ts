import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { IsString, Matches } from 'class-validator';
import { DIGEST_PATTERN, KINDS, type Kind } from '#libs/core/content/schemas.js';

const NUMBER_OR_ALIAS = /^[A-Za-z0-9._-]{1,64}$/;
const message = 'must be a version number or an alias, for instance 3 or champion';

/** Without it Nest would say that it is an object. */
const ANY_JSON = { anyOf: [{}] };

export class DiffQuery {
  @ApiProperty({ description: 'Version to start from: its number or an alias.', example: '1' })
  @IsString()
  @Matches(NUMBER_OR_ALIAS, { message })
  from!: string;

  @ApiProperty({ description: 'Version to compare with: its number or an alias.', example: 'champion' })
  @IsString()
  @Matches(NUMBER_OR_ALIAS, { message })
  to!: string;
}

export class DiffSideDto {
  @ApiProperty({ description: 'Number of the version.', type: 'integer', example: 1 })
  version!: number;

  @ApiProperty({ description: 'Its digest.', pattern: DIGEST_PATTERN })
  digest!: string;
}

export class WordDiffPartDto {
  @ApiProperty({
    description: 'Whether the text is in both, only in `from`, or only in `to`.',
    enum: ['same', 'removed', 'added'],
  })
  kind!: 'same' | 'removed' | 'added';

  @ApiProperty({ description: 'A run of text.' })
  text!: string;
}

export class ChangeDto {
  @ApiProperty({
    description: 'JSON Pointer (RFC 6901) of the value that differs.',
    example: '/generate/parameters/temperature',
  })
  path!: string;

  @ApiProperty({ description: 'What happened to it.', enum: ['added', 'removed', 'changed'] })
  kind!: 'added' | 'removed' | 'changed';

  @ApiPropertyOptional({ description: 'The value in `from`; absent when added.', ...ANY_JSON, example: 0 })
  before?: unknown;

  @ApiPropertyOptional({ description: 'The value in `to`; absent when removed.', ...ANY_JSON, example: 0.9 })
  after?: unknown;

  @ApiPropertyOptional({
    description: 'For texts of several lines: the difference by lines, in unified form.',
    example: '@@ -1,2 +1,2 @@\n Be polite.\n-Be long.\n+Be brief.\n',
  })
  unified?: string;

  @ApiPropertyOptional({
    description: 'For a long text of one line: the difference by words.',
    type: [WordDiffPartDto],
  })
  words?: WordDiffPartDto[];
}

export class DiffDto {
  @ApiProperty({ description: 'What is compared.', enum: KINDS, enumName: 'Kind' })
  kind!: Kind;

  @ApiProperty({ description: 'Name of the entry.', example: 'support-reply' })
  name!: string;

  @ApiProperty({ description: 'The version started from.', type: DiffSideDto })
  from!: DiffSideDto;

  @ApiProperty({ description: 'The version compared with.', type: DiffSideDto })
  to!: DiffSideDto;

  @ApiProperty({
    description: 'What differs; empty when nothing does.',
    type: [ChangeDto],
  })
  changes!: ChangeDto[];
}
