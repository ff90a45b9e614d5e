import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { IsString, Length } from 'class-validator';
import { IfSent } from '../http/body-rules.js';

/** Part of every body that changes who may call. */
export class ReasonInput {
  @ApiPropertyOptional({
    description: 'Why, for the log.',
    example: 'Asked for in ticket 4711.',
    maxLength: 1000,
  })
  @IfSent()
  @IsString()
  @Length(1, 1000)
  reason?: string;
}

export class AccessEventDto {
  @ApiProperty({ description: 'Id.', format: 'uuid' })
  id!: string;

  @ApiProperty({
    description: 'What happened.',
    enum: ['created', 'changed', 'rotated', 'revoked', 'deleted'],
  })
  action!: string;

  @ApiProperty({ description: 'Who did it.', example: 'ada' })
  actor!: string;

  @ApiProperty({ description: 'Why, as they said.', type: String, nullable: true })
  reason!: string | null;

  @ApiProperty({
    description: 'The fields that were set; never a secret.',
    type: 'object',
    additionalProperties: true,
  })
  detail!: object;

  @ApiProperty({ description: 'When.', format: 'date-time', type: String })
  at!: Date;
}
