import { ApiProperty, ApiPropertyOptional, IntersectionType, PickType } from '@nestjs/swagger';
import { Transform } from 'class-transformer';
import { ArrayMaxSize, IsOptional, IsString, Matches, MaxLength } from 'class-validator';
import { ENTRY_NAME_PATTERNS, KINDS, type Kind } from '#libs/core/content/schemas.js';
import { IfSent } from '../http/body-rules.js';
import { NamedQuery } from '../http/named-query.js';
import { Verbatim } from '../http/verbatim.js';
import { MAX_NAME, NAME_RULES } from './entry-name.js';
import { capitalised, named, perKind } from './kind.js';
import { IsTags } from './tags.js';

export const MAX_DESCRIPTION = 5000;
export const TAGS = { type: 'object', additionalProperties: { type: 'string' } } as const;

export class CreateEntryDto {
  /** Its rule depends on the kind; the service has it. */
  @IsString()
  @MaxLength(4 * MAX_NAME)
  name!: string;

  @ApiPropertyOptional({
    description: 'What it is for.',
    type: String,
    nullable: true,
    maxLength: MAX_DESCRIPTION,
    example: 'Answers a support ticket and names the action to take.',
  })
  @IsOptional()
  @IsString()
  @MaxLength(MAX_DESCRIPTION)
  description?: string | null;

  @ApiPropertyOptional({
    description: 'Free labels, key to value; lists can be filtered by them. At most 100.',
    ...TAGS,
    example: { team: 'support' },
  })
  @IfSent()
  @Verbatim()
  @IsTags(false)
  tags?: Record<string, string>;
}

/** `CreateEntryDto` with the rule of names, for the OpenAPI document. */
export const CREATE_ENTRY_DTOS = perKind((kind) => {
  class Named {
    @ApiProperty({
      description: `Unique among its kind, for ever. It ${NAME_RULES[kind]}.`,
      pattern: ENTRY_NAME_PATTERNS[kind],
      maxLength: kind === 'chain' ? 128 : MAX_NAME,
      example: 'support-reply',
    })
    name!: string;
  }
  class Create extends IntersectionType(Named, PickType(CreateEntryDto, ['description', 'tags'])) {}
  return named(Create, `Create${capitalised(kind)}Dto`);
});

export class UpdateEntryDto {
  @ApiPropertyOptional({
    description:
      'A new name; only models have that, and only while no chain pins one of their versions. The old name is free again.',
    maxLength: MAX_NAME,
    example: 'support-reply',
  })
  @IfSent()
  @IsString()
  @MaxLength(4 * MAX_NAME)
  name?: string;

  @ApiPropertyOptional({
    description: 'What it is for. Absent: unchanged; null: cleared.',
    type: String,
    nullable: true,
    maxLength: MAX_DESCRIPTION,
    example: 'Answers a support ticket.',
  })
  @IsOptional()
  @IsString()
  @MaxLength(MAX_DESCRIPTION)
  description?: string | null;

  @ApiPropertyOptional({
    description:
      'Merged into the tags: a string sets the tag, null removes it, others stay. null in place of the object removes all.',
    type: 'object',
    additionalProperties: { type: 'string', nullable: true },
    nullable: true,
    example: { team: 'support', draft: null },
  })
  @IsOptional()
  @Verbatim()
  @IsTags(true)
  tags?: Record<string, string | null> | null;
}

export class ListEntriesQuery extends NamedQuery {
  @ApiPropertyOptional({
    description:
      'Only entries with this tag, as `key` or `key:value`. Repeat it to ask for several tags at once.',
    type: [String],
    maxItems: 20,
    example: ['team:support'],
  })
  @IsOptional()
  @Transform(({ value }) => (typeof value === 'string' ? [value] : (value as unknown)))
  @IsString({ each: true })
  @ArrayMaxSize(20)
  @Matches(/^[\w./ -]{1,250}(:|$)/, { each: true, message: 'must be `key` or `key:value`' })
  tag?: string[];

  @ApiPropertyOptional({
    description: 'Only entries that have this alias at the moment.',
    maxLength: 255,
    example: 'champion',
  })
  @IsOptional()
  @IsString()
  @MaxLength(255)
  alias?: string;
}

export class EntryDto {
  @ApiProperty({ description: 'Identifier, a UUIDv7.', format: 'uuid' })
  id!: string;

  @ApiProperty({ description: 'What it is.', enum: KINDS, enumName: 'Kind' })
  kind!: Kind;

  @ApiProperty({ description: 'Its name.', example: 'support-reply' })
  name!: string;

  @ApiProperty({ description: 'What it is for.', type: String, nullable: true })
  description!: string | null;

  @ApiProperty({ description: 'Free labels, key to value.', ...TAGS, example: { team: 'support' } })
  tags!: Record<string, string>;

  @ApiProperty({
    description: 'Highest version number issued so far; null before the first version.',
    type: 'integer',
    nullable: true,
    example: 7,
  })
  latestVersion!: number | null;

  @ApiProperty({
    description: 'Aliases and the version number each points at.',
    type: 'object',
    additionalProperties: { type: 'integer' },
    example: { champion: 6 },
  })
  aliases!: Record<string, number>;

  @ApiProperty({ description: 'When it was created.', format: 'date-time' })
  createdAt!: string;

  @ApiProperty({ description: 'Who created it.', example: 'ada' })
  createdBy!: string;

  @ApiProperty({
    description: 'When its description, tags, versions or archival last changed.',
    format: 'date-time',
  })
  updatedAt!: string;

  @ApiProperty({
    description: 'When it was archived; null while in use.',
    type: String,
    format: 'date-time',
    nullable: true,
  })
  archivedAt!: string | null;
}
