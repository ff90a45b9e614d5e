import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { IsOptional, IsString, Matches, MaxLength } from 'class-validator';
import { AssessmentDto } from '../assessments/assessment.dto.js';
import { PageQuery } from '../http/page.js';
import { TRACE_STATES, type TraceState } from './trace.js';

const MAP = { type: 'object', additionalProperties: { type: 'string' } } as const;
const TRACE_ID = 'tr-0123456789abcdef0123456789abcdef';

export class ListTracesQuery extends PageQuery {
  @ApiProperty({ description: 'Number of the experiment, or its id.', type: String, example: '0' })
  @IsString()
  @Matches(/^([0-9]{1,10}|[0-9a-fA-F-]{36})$/, { message: 'must be the UUID of an experiment or its number' })
  experimentId!: string;

  @ApiPropertyOptional({
    description:
      "Only traces that match, such as `status = 'ERROR' AND (tags.team = 'support' OR span.type = 'TOOL')`. The language is MLflow's, with OR and parentheses.",
  })
  @IsOptional()
  @IsString()
  @MaxLength(10_000)
  filter?: string;
}

export class TraceSummaryDto {
  @ApiProperty({ description: 'Id, as its client made it.', example: TRACE_ID })
  id!: string;

  @ApiProperty({ description: 'Number of its experiment.', type: 'integer', example: 0 })
  experimentNumber!: number;

  @ApiProperty({ description: 'When its request began.', format: 'date-time' })
  startedAt!: string;

  @ApiProperty({
    description: 'How long it took; null while it runs.',
    type: 'integer',
    nullable: true,
    example: 812,
  })
  durationMs!: number | null;

  @ApiProperty({ description: 'How it went.', enum: TRACE_STATES, enumName: 'TraceState', example: 'OK' })
  state!: TraceState;

  @ApiProperty({
    description: 'Its request, cut.',
    type: String,
    nullable: true,
    example: 'Where is my parcel?',
  })
  requestPreview!: string | null;

  @ApiProperty({
    description: 'Its response, cut.',
    type: String,
    nullable: true,
    example: 'It arrives tomorrow.',
  })
  responsePreview!: string | null;

  @ApiProperty({ description: 'What the calling system calls the request.', type: String, nullable: true })
  clientRequestId!: string | null;

  @ApiProperty({
    description: 'What was known when it ran; it does not change.',
    ...MAP,
    example: { 'mlflow.trace.session': 'conversation-7' },
  })
  metadata!: Record<string, string>;

  @ApiProperty({ description: 'Free labels, key to value.', ...MAP, example: { team: 'support' } })
  tags!: Record<string, string>;

  @ApiProperty({ description: 'Judgements on it, in order of time.', type: [AssessmentDto] })
  assessments!: AssessmentDto[];
}

export class SpanDto {
  @ApiProperty({ description: 'Id inside the trace, 16 hexadecimal digits.', example: '00f067aa0ba902b7' })
  id!: string;

  @ApiProperty({ description: 'Span that it is part of; null for the root.', type: String, nullable: true })
  parentId!: string | null;

  @ApiProperty({ description: 'Its name.', example: 'answer' })
  name!: string;

  @ApiProperty({ description: 'How it went.', enum: ['UNSET', 'OK', 'ERROR'], enumName: 'SpanStatus' })
  status!: string;

  @ApiProperty({ description: 'What went wrong, if anything.', type: String, nullable: true })
  statusMessage!: string | null;

  @ApiProperty({
    description: 'When it began, in nanoseconds since 1970 (as text: a number would lose digits).',
    example: '1795305600000000000',
  })
  startNs!: string;

  @ApiProperty({ description: 'When it ended, likewise; null while it runs.', type: String, nullable: true })
  endNs!: string | null;

  @ApiProperty({
    description:
      'What it tells of itself, by key; `mlflow.spanInputs` and `mlflow.spanOutputs` are what went in and out.',
    type: 'object',
    additionalProperties: true,
    example: { 'mlflow.spanType': 'CHAIN', 'mlflow.spanInputs': { question: 'Where is my parcel?' } },
  })
  attributes!: Record<string, unknown>;

  @ApiProperty({
    description: 'What happened inside it, such as exceptions.',
    type: 'array',
    items: { type: 'object', additionalProperties: true },
    example: [],
  })
  events!: { name: string; timeNs: string; attributes: Record<string, unknown> }[];
}

export class TraceDto extends TraceSummaryDto {
  @ApiProperty({
    description:
      'Its spans: the root first, then by start. Empty where the client keeps them in an artifact.',
    type: [SpanDto],
  })
  spans!: SpanDto[];
}
