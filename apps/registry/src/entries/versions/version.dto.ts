import { ApiProperty, ApiPropertyOptional, IntersectionType, PickType } from '@nestjs/swagger';
import { Transform } from 'class-transformer';
import { IsBoolean, IsDefined, IsIn, IsOptional, IsString, MaxLength } from 'class-validator';
import { DIGEST_PATTERN, KINDS, type Kind } from '#libs/core/content/schemas.js';
import { IfSent } from '../../http/body-rules.js';
import { PageQuery } from '../../http/page.js';
import { Verbatim } from '../../http/verbatim.js';
import { contentSchemaRef, EXAMPLES } from '../schemas/content-docs.js';
import { MAX_DESCRIPTION, TAGS } from '../entry.dto.js';
import { capitalised, named, perKind } from '../kind.js';
import { IsTags } from '../tags.js';
import { STAGES, type Stage } from './version-note.entity.js';

const MAX_MESSAGE = 2000;

/** What validation sees; the documents of `VERSION_DTOS` say more about the content, by kind. */
export class RegisterVersionDto {
  @Verbatim()
  @IsDefined({ message: 'must be given' })
  content!: unknown;

  @ApiPropertyOptional({
    description: 'Why this version exists. Not part of the digest.',
    type: String,
    nullable: true,
    maxLength: MAX_MESSAGE,
    example: 'Shorter answers.',
  })
  @IsOptional()
  @IsString()
  @MaxLength(MAX_MESSAGE)
  message?: string | null;
}

export class ListVersionsQuery extends PageQuery {
  @ApiPropertyOptional({ description: 'Show archived ones too.', type: Boolean, default: false })
  @IsOptional()
  @Transform(({ value }: { value: unknown }) => (value === 'true' ? true : value === 'false' ? false : value))
  @IsBoolean({ message: 'must be true or false' })
  includeArchived: boolean = false;
}

/** A version without its content, as lists show it. */
export class VersionSummaryDto {
  @ApiProperty({ description: 'Identifier, a UUIDv7.', format: 'uuid' })
  id!: string;

  @ApiProperty({ description: 'What it is a version of.', enum: KINDS, enumName: 'Kind' })
  kind!: Kind;

  @ApiProperty({ description: 'Name of its entry.', example: 'support-reply' })
  name!: string;

  @ApiProperty({
    description: 'Its number: consecutive per name and never issued twice.',
    type: 'integer',
    minimum: 1,
    example: 3,
  })
  version!: number;

  @ApiProperty({
    description: 'SHA-256 of the canonical content (RFC 8785), as `sha256:` and hexadecimal digits.',
    pattern: DIGEST_PATTERN,
  })
  digest!: string;

  @ApiProperty({ description: 'Why it exists.', type: String, nullable: true })
  message!: string | null;

  @ApiProperty({ description: 'When it was registered.', format: 'date-time' })
  createdAt!: string;

  @ApiProperty({ description: 'Who registered it.', example: 'ada' })
  createdBy!: string;

  @ApiProperty({
    description: 'When it was archived; null while in use.',
    type: String,
    format: 'date-time',
    nullable: true,
  })
  archivedAt!: string | null;

  @ApiProperty({
    description: 'Aliases that point at it at the moment.',
    type: [String],
    example: ['champion'],
  })
  aliases!: string[];

  @ApiProperty({
    description: 'What is said about it since. Not part of the version: it can change.',
    type: String,
    nullable: true,
    example: 'Won the A/B test of March.',
  })
  description!: string | null;

  @ApiProperty({ description: 'Free labels, key to value.', ...TAGS, example: { reviewed: 'yes' } })
  tags!: Record<string, string>;

  @ApiProperty({
    description: 'Stage that clients of MLflow know; deprecated there in favour of aliases.',
    enum: STAGES,
    enumName: 'Stage',
    example: 'None',
  })
  stage!: Stage;

  @ApiProperty({
    description: 'When its description, tags or stage last changed; when it was registered, before they did.',
    format: 'date-time',
  })
  updatedAt!: string;
}

export class UpdateVersionDto {
  @ApiPropertyOptional({
    description: 'What is to be said about it. Absent: unchanged; null: cleared.',
    type: String,
    nullable: true,
    maxLength: MAX_DESCRIPTION,
    example: 'Won the A/B test of March.',
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
    example: { reviewed: 'yes', draft: null },
  })
  @IsOptional()
  @Verbatim()
  @IsTags(true)
  tags?: Record<string, string | null> | null;

  @ApiPropertyOptional({
    description: 'Stage that clients of MLflow know.',
    enum: STAGES,
    enumName: 'Stage',
    example: 'Staging',
  })
  @IfSent()
  @IsIn(STAGES)
  stage?: Stage;
}

export class VersionDto extends VersionSummaryDto {
  content!: unknown;
}

/** The same answers and requests with the content typed, for the OpenAPI document. */
export const VERSION_DTOS = perKind((kind) => {
  class Content {
    @ApiProperty({
      description: `The ${kind} content${kind === 'chain' ? ', its references pinned' : ''}.`,
      allOf: [{ $ref: contentSchemaRef(kind) }],
      example: EXAMPLES[kind],
    })
    content!: unknown;
  }
  class Documented extends IntersectionType(VersionSummaryDto, Content) {}
  class Register extends IntersectionType(Content, PickType(RegisterVersionDto, ['message'])) {}
  return {
    version: named(Documented, `${capitalised(kind)}VersionDto`),
    register: named(Register, `Register${capitalised(kind)}VersionDto`),
  };
});

export class VersionUseDto {
  @ApiProperty({ description: 'Identifier of the version that refers here.', format: 'uuid' })
  id!: string;

  @ApiProperty({ description: 'What it is a version of.', enum: KINDS, enumName: 'Kind' })
  kind!: Kind;

  @ApiProperty({ description: 'Name of its entry.', example: 'support' })
  name!: string;

  @ApiProperty({ description: 'Its number.', type: 'integer', example: 4 })
  version!: number;

  @ApiProperty({ description: 'Its digest.', pattern: DIGEST_PATTERN })
  digest!: string;

  @ApiProperty({
    description: 'JSON Pointer (RFC 6901) of the reference inside its content.',
    example: '/prompt',
  })
  path!: string;

  @ApiProperty({ description: 'When it was registered.', format: 'date-time' })
  createdAt!: string;

  @ApiProperty({
    description: 'When it was archived; null while in use.',
    type: String,
    format: 'date-time',
    nullable: true,
  })
  archivedAt!: string | null;
}
