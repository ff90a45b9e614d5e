import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { IsBoolean, IsIn, IsObject, IsOptional, IsString, Length, MaxLength } from 'class-validator';
import { EXPERIMENT_REF, IsExperimentRef } from '../experiments/is-experiment-ref.js';
import { IfSent } from '../http/body-rules.js';
import { PageQuery } from '../http/page.js';
import { Verbatim } from '../http/verbatim.js';
import {
  LABEL_LIMITS,
  LABEL_SCHEMA_TYPES,
  type LabelInput,
  type LabelSchema,
  type LabelSchemaType,
} from './label-schema.js';

const NAME = {
  description: 'The question, unique in the experiment; the name of the assessments that answer it.',
  example: 'Is the answer correct?',
} as const;
const INSTRUCTION = {
  description: 'What reviewers are to look at.',
  nullable: true,
  type: String,
  example: 'Compare it with the page that it cites.',
} as const;
const LABEL = { type: 'string', minLength: 1, maxLength: LABEL_LIMITS.label } as const;
const BOUND = { type: 'number', nullable: true } as const;
const object = (kind: string, properties: Record<string, object>): object => ({
  type: 'object',
  required: ['kind', ...Object.keys(properties)],
  additionalProperties: false,
  properties: { kind: { description: 'Which of them.', type: 'string', enum: [kind] }, ...properties },
});
const INPUT = {
  description: 'How reviewers answer: with one of two labels, by choosing, with a number, or in words.',
  oneOf: [
    object('passFail', {
      positiveLabel: { description: 'What says yes.', ...LABEL },
      negativeLabel: { description: 'What says no.', ...LABEL },
    }),
    object('categorical', {
      options: {
        description: 'What can be chosen.',
        type: 'array',
        items: LABEL,
        minItems: 1,
        maxItems: LABEL_LIMITS.options,
      },
      multiSelect: { description: 'Whether more than one can be.', type: 'boolean' },
    }),
    object('numeric', {
      minValue: { description: 'Least number; null: any.', ...BOUND },
      maxValue: { description: 'Greatest number; null: any.', ...BOUND },
    }),
    object('text', {
      maxLength: { description: 'Most characters; null: any.', type: 'integer', minimum: 1, nullable: true },
    }),
  ],
  example: { kind: 'passFail', positiveLabel: 'Correct', negativeLabel: 'Incorrect' },
};
const COMMENT = { description: 'Whether reviewers may add a comment.', example: true } as const;

export class CreateLabelSchemaDto {
  @ApiProperty(EXPERIMENT_REF)
  @IsExperimentRef()
  experimentId!: string;

  @ApiProperty({ ...NAME, maxLength: LABEL_LIMITS.name })
  @IsString()
  @Length(1, LABEL_LIMITS.name)
  name!: string;

  @ApiProperty({
    description: 'Whether it asks how a trace is, or what it should have been.',
    enum: LABEL_SCHEMA_TYPES,
    example: 'feedback',
  })
  @IsIn(LABEL_SCHEMA_TYPES)
  type!: LabelSchemaType;

  @ApiPropertyOptional({ ...INSTRUCTION, maxLength: LABEL_LIMITS.instruction })
  @IsOptional()
  @IsString()
  @MaxLength(LABEL_LIMITS.instruction)
  instruction?: string | null;

  @ApiPropertyOptional({ ...COMMENT, default: false })
  @IfSent()
  @IsBoolean()
  enableComment?: boolean;

  @ApiProperty(INPUT)
  @Verbatim()
  @IsObject()
  input!: LabelInput;
}

export class UpdateLabelSchemaDto {
  @ApiPropertyOptional({ ...NAME, maxLength: LABEL_LIMITS.name })
  @IfSent()
  @IsString()
  @Length(1, LABEL_LIMITS.name)
  name?: string;

  @ApiPropertyOptional({ ...INSTRUCTION, maxLength: LABEL_LIMITS.instruction })
  @IsOptional()
  @IsString()
  @MaxLength(LABEL_LIMITS.instruction)
  instruction?: string | null;

  @ApiPropertyOptional(COMMENT)
  @IfSent()
  @IsBoolean()
  enableComment?: boolean;

  @ApiPropertyOptional({ ...INPUT, description: 'How reviewers answer; of the same kind as before.' })
  @IfSent()
  @Verbatim()
  @IsObject()
  input?: LabelInput;
}

export class ListLabelSchemasQuery extends PageQuery {
  @ApiProperty(EXPERIMENT_REF)
  @IsExperimentRef()
  experimentId!: string;
}

export class LabelSchemaDto {
  @ApiProperty({
    description: 'Identifier, a UUIDv7. MLflow clients know it as `ls-` and its 32 digits.',
    format: 'uuid',
  })
  id!: string;

  @ApiProperty({ description: 'Number of its experiment.', type: 'integer', example: 0 })
  experimentNumber!: number;

  @ApiProperty(NAME)
  name!: string;

  @ApiProperty({
    description: 'Whether it asks how a trace is, or what it should have been.',
    enum: LABEL_SCHEMA_TYPES,
    example: 'feedback',
  })
  type!: LabelSchemaType;

  @ApiProperty(INSTRUCTION)
  instruction!: string | null;

  @ApiProperty(COMMENT)
  enableComment!: boolean;

  @ApiProperty(INPUT)
  input!: LabelInput;

  @ApiProperty({ description: 'The question that every experiment has; it never changes.', example: false })
  isDefault!: boolean;

  @ApiProperty({ description: 'When it was made.', format: 'date-time' })
  createdAt!: string;

  @ApiProperty({ description: 'Who made it.', example: 'ada' })
  createdBy!: string;

  @ApiProperty({ description: 'When it last changed.', format: 'date-time' })
  updatedAt!: string;
}

export function labelSchemaDto({ createdAt, updatedAt, ...schema }: LabelSchema): LabelSchemaDto {
  return { ...schema, createdAt: createdAt.toISOString(), updatedAt: updatedAt.toISOString() };
}
