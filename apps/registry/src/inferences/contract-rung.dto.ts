import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { RUNG_RESULTS, RUNGS, type Rung, type RungResult } from '#libs/core/contract/ladder.js';
import { STRUCTURED_OUTPUTS } from '#libs/core/contract/structured-output.js';

export class ContractProblemDto {
  @ApiProperty({
    description: 'JSON Pointer of what is wrong; empty for the answer itself.',
    example: '/priority',
  })
  path!: string;

  @ApiProperty({ description: 'What is wrong with it.', example: 'must be one of ["low","normal","high"]' })
  message!: string;
}

export class ContractRungDto {
  @ApiProperty({
    description: 'What was done: asked, repaired, asked again with what was wrong, asked at a fallback.',
    enum: RUNGS,
  })
  rung!: Rung;

  @ApiProperty({
    description:
      'What came of it. `called_tools`: a call, which is held against no contract; `failed`: no answer.',
    enum: RUNG_RESULTS,
  })
  result!: RungResult;

  @ApiProperty({
    description: 'How the schema was asked for; null where it was not.',
    enum: STRUCTURED_OUTPUTS,
    nullable: true,
  })
  by!: string | null;

  @ApiProperty({ description: 'Model endpoint that answered.', example: 'gpu-pool' })
  modelEndpoint!: string;

  @ApiProperty({ description: 'Model that answered.', example: 'llama-8b' })
  model!: string;

  @ApiProperty({ description: 'How long it took, in ms.', example: 412.5 })
  latencyMs!: number;

  @ApiProperty({ description: 'Prompt tokens; null of a repair.', type: Number, nullable: true })
  inputTokens!: number | null;

  @ApiProperty({ description: 'Completion tokens; null of a repair.', type: Number, nullable: true })
  outputTokens!: number | null;

  @ApiProperty({ description: 'Cost in micro-USD; null of a repair.', type: Number, nullable: true })
  costMicroUsd!: number | null;

  @ApiPropertyOptional({
    description: 'The first things that were wrong; not where payloads are kept out of rows.',
    type: [ContractProblemDto],
  })
  errors?: ContractProblemDto[];

  @ApiPropertyOptional({ description: 'Code of the failure.', example: 'upstream_error' })
  errorCode?: string;
}
