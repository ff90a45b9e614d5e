import { applyDecorators } from '@nestjs/common';
import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { IsInt, IsString, Matches, Max, Min, ValidateBy } from 'class-validator';
import { IfSent } from '../http/body-rules.js';
import { PageQuery } from '../http/page.js';
import { MAX_PATH_BYTES, problemOfPath } from './artifact-path.js';

const TIB = 1024 ** 4;
/** Largest object of S3, https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html. */
export const MAX_ARTIFACT_BYTES = 5 * TIB;
export const DEFAULT_CONTENT_TYPE = 'application/octet-stream';

const SHA256 = 'a4b1c2d3e4f5061728394a5b6c7d8e9f00112233445566778899aabbccddeeff';
/** RFC 9110 §8.3.1: type "/" subtype, then parameters of printable characters. */
const MEDIA_TYPE = /^[\w!#$%&'*+.^`|~-]{1,64}\/[\w!#$%&'*+.^`|~-]{1,64}(?:\s*;[\t\x20-\x7e]{0,120})?$/;

export const isMediaType = (text: string): boolean => MEDIA_TYPE.test(text);
export const isSha256 = (text: string): boolean => /^[0-9a-f]{64}$/.test(text);

const IsArtifactPath = (): PropertyDecorator =>
  ValidateBy({
    name: 'artifactPath',
    validator: {
      validate: (value: unknown) => typeof value === 'string' && problemOfPath(value) === undefined,
      defaultMessage: (args) =>
        typeof args?.value === 'string' ? problemOfPath(args.value)! : 'must be given once, as a string',
    },
  });

const PathProperty = (): PropertyDecorator =>
  applyDecorators(
    ApiProperty({
      description: `Path inside the owner: relative, segments separated by "/", none empty, "." or "..", no control characters, at most ${MAX_PATH_BYTES} bytes.`,
      example: 'few-shot/train.jsonl',
    }),
    IsArtifactPath(),
  );

const Sha256Property = (description: string): PropertyDecorator =>
  applyDecorators(
    ApiProperty({ description, pattern: '^[0-9a-f]{64}$', example: SHA256 }),
    Matches(/^[0-9a-f]{64}$/, { message: 'must be a SHA-256 in 64 lower-case hexadecimal digits' }),
  );

export class PathQuery {
  @PathProperty()
  path!: string;
}

export class DeletedArtifactsDto {
  @ApiProperty({ description: 'How many artifacts were deleted.', example: 3 })
  deleted!: number;
}

export class DirectoryQuery extends PageQuery {
  @ApiPropertyOptional({
    description: 'Path of the directory; without it the root.',
    example: 'few-shot',
  })
  @IfSent()
  @IsArtifactPath()
  path?: string;
}

export class DirectoryEntryDto {
  @ApiProperty({ description: 'Path inside the owner.', example: 'few-shot/train.jsonl' })
  path!: string;

  @ApiProperty({ description: 'Last segment of the path.', example: 'train.jsonl' })
  name!: string;

  @ApiProperty({ description: 'Whether it is a directory: it is there because something lies in it.' })
  isDirectory!: boolean;

  @ApiProperty({
    description: 'Number of bytes of a file; null for a directory.',
    type: Number,
    nullable: true,
    example: 18_213,
  })
  sizeBytes!: number | null;
}

export class CreateUploadDto {
  @PathProperty()
  path!: string;

  @Sha256Property('SHA-256 of the bytes; verified before the artifact counts as present.')
  sha256!: string;

  @ApiProperty({
    description: 'Number of bytes.',
    minimum: 0,
    maximum: MAX_ARTIFACT_BYTES,
    example: 18_213,
  })
  @IsInt()
  @Min(0)
  @Max(MAX_ARTIFACT_BYTES)
  sizeBytes!: number;

  @ApiPropertyOptional({
    description: 'Media type it is downloaded with.',
    default: DEFAULT_CONTENT_TYPE,
    example: 'application/jsonl',
  })
  @IfSent()
  @IsString()
  @Matches(MEDIA_TYPE, { message: 'must be a media type such as application/json' })
  contentType?: string;
}

export class ArtifactDto {
  @ApiProperty({ description: 'Path inside the owner.', example: 'few-shot/train.jsonl' })
  path!: string;

  @ApiProperty({ description: 'SHA-256 of the bytes.', example: SHA256 })
  sha256!: string;

  @ApiProperty({ description: 'Number of bytes.', example: 18_213 })
  sizeBytes!: number;

  @ApiProperty({ description: 'Media type it is downloaded with.', example: 'application/jsonl' })
  contentType!: string;

  @ApiProperty({ description: 'When it was added.', format: 'date-time' })
  createdAt!: string;

  @ApiProperty({ description: 'Who added it.', example: 'ana' })
  createdBy!: string;
}

export class DownloadUrlDto {
  @ApiProperty({
    description: 'GET it without credentials; ranges work.',
    example: 'http://127.0.0.1:9000/catena/…?X-Amz-Signature=…',
  })
  url!: string;

  @ApiProperty({ description: 'Until when the URL works.', format: 'date-time' })
  expiresAt!: string;

  @ApiProperty({ description: 'Number of bytes.', example: 18_213 })
  sizeBytes!: number;
}
