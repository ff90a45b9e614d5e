import { ApiProperty } from '@nestjs/swagger';
import { IsString, IsUUID, Length } from 'class-validator';

export class CreateRunDto {
  @ApiProperty({
    description: 'What people call it; need not be unique.',
    minLength: 1,
    maxLength: 256,
    example: 'nightly evaluation 2026-11-22',
  })
  @IsString()
  @Length(1, 256)
  name!: string;
}

export class RunParams {
  @ApiProperty({ description: 'Id of the run.', format: 'uuid' })
  @IsUUID('all', { message: 'must be the UUID of a run' })
  id!: string;
}

export class RunDto {
  @ApiProperty({
    description: 'Id of the run, a UUIDv7.',
    format: 'uuid',
    example: '019aab3c-5d10-7c43-9a55-0d3c8f1a2b4c',
  })
  id!: string;

  @ApiProperty({ description: 'What people call it.', example: 'nightly evaluation 2026-11-22' })
  name!: string;

  @ApiProperty({ description: 'When it was created.', format: 'date-time' })
  createdAt!: string;

  @ApiProperty({ description: 'Who created it.', example: 'ana' })
  createdBy!: string;
}
