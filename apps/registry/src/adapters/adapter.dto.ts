import { ApiExtraModels, ApiProperty, ApiPropertyOptional, getSchemaPath } from '@nestjs/swagger';
import { IsString, Length } from 'class-validator';
import type { Reference } from '#libs/core/content/types.js';
import { IsReference } from '../endpoints/is-reference.js';
import { IfSent } from '../http/body-rules.js';

export class PinnedModelDto {
  @ApiProperty({ description: 'Name of the model.', example: 'support-reply' })
  name!: string;

  @ApiProperty({ description: 'Number of the version.', type: 'integer', example: 1 })
  version!: number;

  @ApiProperty({ description: 'Digest of its content.', example: `sha256:${'0'.repeat(64)}` })
  digest!: string;
}

@ApiExtraModels(PinnedModelDto)
export class LoadAdapterDto {
  @ApiProperty({
    description:
      'The model version: its content has the format `lora`, and `model` is the name it is served under.',
    oneOf: [{ type: 'string' }, { $ref: getSchemaPath(PinnedModelDto) }],
    example: 'support-reply@champion',
  })
  @IsReference()
  model!: Reference;

  @ApiPropertyOptional({
    description:
      'Where the replicas find its files: a directory of theirs, or a hub id. Unless given, the `source` of the version.',
    example: '/models/adapters/support-reply',
  })
  @IfSent()
  @IsString()
  @Length(1, 2048)
  path?: string;
}

export class AdapterReplicaDto {
  @ApiProperty({ description: 'Id of the replica.', format: 'uuid' })
  id!: string;

  @ApiProperty({ description: 'Base URL, as stored.', example: 'http://10.0.0.5:8000/v1' })
  baseUrl!: string;

  @ApiProperty({
    description: 'Why it did not do it; null where it is done, or was done before.',
    type: String,
    nullable: true,
    example: null,
  })
  error!: string | null;
}

export class AdapterDto {
  @ApiProperty({ description: 'Name of the adapter, as requests give it.', example: 'support-reply' })
  adapter!: string;

  @ApiProperty({ description: 'What each replica said, in their order.', type: [AdapterReplicaDto] })
  replicas!: AdapterReplicaDto[];
}

export class LoadedAdapterDto extends AdapterDto {
  @ApiProperty({ description: 'The model version.', example: 'support-reply@1' })
  version!: string;

  @ApiProperty({
    description: 'Whether it is among the `models` of the model endpoint: chains may name no other.',
  })
  isRegistered!: boolean;
}
