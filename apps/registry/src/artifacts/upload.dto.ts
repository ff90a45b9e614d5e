import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { Type } from 'class-transformer';
import {
  ArrayMaxSize,
  ArrayMinSize,
  ArrayUnique,
  IsArray,
  IsInt,
  IsString,
  Max,
  MaxLength,
  Min,
  MinLength,
  ValidateNested,
} from 'class-validator';
import { IfSent } from '../http/body-rules.js';
import { ArtifactDto } from './artifact.dto.js';

/** S3's limit, https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html. */
export const MAX_PARTS = 10_000;

export class PartUrlDto {
  @ApiProperty({ description: 'Place of the part, from 1.', example: 1 })
  partNumber!: number;

  @ApiProperty({ description: 'Exact number of bytes the part must have.', example: 16_777_216 })
  sizeBytes!: number;

  @ApiProperty({
    description: 'PUT the bytes of the part here; keep the ETag header of the answer.',
    example: 'http://127.0.0.1:9000/catena/…?partNumber=1&X-Amz-Signature=…',
  })
  url!: string;
}

export class UploadDto {
  @ApiProperty({
    description: 'Id of the upload: complete or abort it under this.',
    format: 'uuid',
    example: '019aab3c-5d10-7c43-9a55-0d3c8f1a2b4c',
  })
  uploadId!: string;

  @ApiProperty({
    description: 'single: one PUT to `url`. multipart: one PUT per part.',
    enum: ['single', 'multipart'],
    example: 'single',
  })
  method!: 'single' | 'multipart';

  @ApiProperty({
    description: 'Where to PUT the bytes; null for multipart.',
    type: String,
    nullable: true,
    example: 'http://127.0.0.1:9000/catena/…?X-Amz-Signature=…',
  })
  url!: string | null;

  @ApiProperty({
    description: 'Headers to send with every PUT, beside the content-length.',
    type: 'object',
    additionalProperties: { type: 'string' },
    example: {},
  })
  headers!: Record<string, string>;

  @ApiProperty({
    description: 'Bytes of every part but the last; null for single.',
    type: Number,
    nullable: true,
    example: null,
  })
  partSizeBytes!: number | null;

  @ApiProperty({
    description: 'Number of parts; null for single.',
    type: Number,
    nullable: true,
    example: null,
  })
  partCount!: number | null;

  @ApiProperty({ description: 'The first parts of a multipart upload, at most 100.', type: [PartUrlDto] })
  parts!: PartUrlDto[];

  @ApiProperty({
    description: '`cursor` for …/uploads/{uploadId}/parts where there are more parts; else null.',
    type: String,
    nullable: true,
    example: null,
  })
  nextCursor!: string | null;

  @ApiProperty({
    description: 'Until when the URLs work and the upload can be completed.',
    format: 'date-time',
  })
  expiresAt!: string;
}

export class CompletedPartDto {
  @ApiProperty({ description: 'Place of the part, from 1.', minimum: 1, maximum: MAX_PARTS, example: 1 })
  @IsInt()
  @Min(1)
  @Max(MAX_PARTS)
  partNumber!: number;

  @ApiProperty({
    description: 'ETag header with which the store answered the part.',
    example: '"9bb58f26192e4ba00f01e2e7b136bbd8"',
  })
  @IsString()
  @MinLength(1)
  @MaxLength(256)
  etag!: string;
}

export class CompleteUploadDto {
  @ApiPropertyOptional({ description: 'For multipart: every part.', type: [CompletedPartDto] })
  @IfSent()
  @IsArray()
  @ArrayMinSize(1)
  @ArrayMaxSize(MAX_PARTS)
  @ArrayUnique((part: CompletedPartDto | null) => part?.partNumber, { message: 'must name every part once' })
  @ValidateNested({ each: true })
  @Type(() => CompletedPartDto)
  parts?: CompletedPartDto[];
}

export class BegunUploadDto {
  @ApiProperty({
    description:
      'Set (200) when the workspace holds these bytes already: the artifact is there, nothing is to be uploaded.',
    type: ArtifactDto,
    nullable: true,
    example: null,
  })
  artifact!: ArtifactDto | null;

  @ApiProperty({
    description: 'Set (201) when the bytes are to be uploaded.',
    type: UploadDto,
    nullable: true,
  })
  upload!: UploadDto | null;
}
