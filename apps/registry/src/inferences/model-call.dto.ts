import { ApiProperty } from '@nestjs/swagger';
import {
  CALL_OUTCOMES,
  CALL_STEPS,
  type CallOutcome,
  type CallStep,
} from '#libs/core/inference/model-call.js';

/** One request to a model endpoint. */
export class ModelCallDto {
  @ApiProperty({ description: 'Which call of the inference, from 1.', example: 1 })
  position!: number;

  @ApiProperty({
    description:
      'Why it was made: first (`ask`), again after a failure (`retry`), again with what was wrong (`reask`), or in place of another model endpoint (`fallback`).',
    enum: CALL_STEPS,
    example: 'ask',
  })
  step!: CallStep;

  @ApiProperty({ description: 'Model endpoint.', example: 'gpu-pool' })
  modelEndpoint!: string;

  @ApiProperty({ description: 'Model.', example: 'llama-8b' })
  model!: string;

  @ApiProperty({ description: 'Base URL of the replica.', example: 'http://10.0.0.7:8000/v1' })
  replica!: string;

  @ApiProperty({
    description: '`rejected`: answered, with something that the output contract does not let through.',
    enum: CALL_OUTCOMES,
    example: 'ok',
  })
  outcome!: CallOutcome;

  @ApiProperty({
    description: 'Status of the answer; null where none began, and for the only call of an inference.',
    type: Number,
    nullable: true,
    example: 200,
  })
  httpStatus!: number | null;

  @ApiProperty({ description: 'Code of the error.', type: String, nullable: true })
  errorCode!: string | null;

  @ApiProperty({ description: 'Prompt tokens.', type: Number, nullable: true, example: 40 })
  inputTokens!: number | null;

  @ApiProperty({ description: 'Completion tokens.', type: Number, nullable: true, example: 60 })
  outputTokens!: number | null;

  @ApiProperty({ description: 'Cost in micro-USD.', type: Number, nullable: true, example: 42 })
  costMicroUsd!: number | null;

  @ApiProperty({
    description: 'From the admission of the request to the call, in ms.',
    type: Number,
    nullable: true,
    example: 0.4,
  })
  offsetMs!: number | null;

  @ApiProperty({
    description: 'From the call to its end, in ms.',
    type: Number,
    nullable: true,
    example: 212.5,
  })
  latencyMs!: number | null;

  @ApiProperty({
    description: 'From the call to the first content, in ms; null unless streamed.',
    type: Number,
    nullable: true,
    example: 48.2,
  })
  ttftMs!: number | null;
}
