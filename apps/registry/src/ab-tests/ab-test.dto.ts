import { ApiProperty, ApiPropertyOptional, OmitType, PartialType } from '@nestjs/swagger';
import { Type } from 'class-transformer';
import {
  ArrayMaxSize,
  ArrayMinSize,
  IsArray,
  IsIn,
  IsInt,
  IsNumber,
  IsObject,
  IsOptional,
  IsString,
  Length,
  Max,
  Min,
  ValidateNested,
} from 'class-validator';
import type { Direction } from '#libs/core/ab-test/metrics.js';
import { MAX_ARMS } from '#libs/core/assignment/split.js';
import type { Scale } from '#libs/core/statistics/effect.js';
import { ReasonInput } from '../access-events/access-event.dto.js';
import { IfSent, IsExpectedRevision, IsName } from '../http/body-rules.js';
import { PageQuery } from '../http/page.js';
import { AB_TEST_STATUSES, DECISIONS, type AbTestStatus, type Decision } from './ab-test.entity.js';

const DIRECTIONS = ['higher', 'lower'] as const satisfies readonly Direction[];
const SCALES = ['relative', 'absolute'] as const satisfies readonly Scale[];
const MAX_METRICS = 20;
/** Effects, margins: what a double keeps apart when it is squared and summed. */
const MAX_VALUE = 1e12;

export class JudgedMetricDto {
  @ApiProperty({
    description:
      'Name of a metric: `error_rate`, `latency_ms_p95`, `cost_micro_usd_per_request`, `feedback:<name>` (mean of the latest values), `feedback_rate:<name>` (share of the units with a positive one)…; docs/ab-tests.md has them all.',
    example: 'feedback_rate:solved',
  })
  @IsString()
  @Length(1, 160)
  metric!: string;

  @ApiPropertyOptional({
    description: 'Which way is better, if not the metric’s own.',
    enum: DIRECTIONS,
    example: 'higher',
  })
  @IfSent()
  @IsIn(DIRECTIONS)
  direction?: Direction;
}

export class GuardrailDto extends JudgedMetricDto {
  @ApiProperty({ description: 'The metric.', example: 'error_rate' })
  declare metric: string;

  @ApiPropertyOptional({
    description: 'Which way is better, if not the metric’s own.',
    enum: DIRECTIONS,
    example: 'lower',
  })
  declare direction?: Direction;

  @ApiProperty({ description: 'How much worse is tolerated: 0.1 is 10 % of control.', example: 0.1 })
  @IsNumber()
  @Min(0)
  @Max(MAX_VALUE)
  margin!: number;

  @ApiPropertyOptional({ description: 'Of the margin.', enum: SCALES, example: 'relative' })
  @IfSent()
  @IsIn(SCALES)
  scale?: Scale;
}

export class FactorArmDto {
  @ApiProperty({ description: 'Name of the arm.', example: 'control' })
  @IsName()
  arm!: string;

  @ApiProperty({ description: 'Its level of each factor.', type: [String], example: ['short', 'llama-8b'] })
  @IsArray()
  @ArrayMinSize(2)
  @ArrayMaxSize(2)
  @IsString({ each: true })
  @Length(1, 128, { each: true })
  levels!: [string, string];
}

export class FactorsDto {
  @ApiProperty({ description: 'Names of the two factors.', type: [String], example: ['prompt', 'model'] })
  @IsArray()
  @ArrayMinSize(2)
  @ArrayMaxSize(2)
  @IsString({ each: true })
  @Length(1, 128, { each: true })
  names!: [string, string];

  @ApiProperty({
    description: 'One arm for every pair of levels. Those of control are what the others are held against.',
    type: [FactorArmDto],
  })
  @IsArray()
  @ArrayMaxSize(MAX_ARMS)
  @IsObject({ each: true, message: 'each must be an object with arm and levels' })
  @ValidateNested({ each: true })
  @Type(() => FactorArmDto)
  arms!: FactorArmDto[];
}

const IsJudged =
  (type: () => Function): PropertyDecorator =>
  (target, key) => {
    IsArray()(target, key);
    ArrayMaxSize(MAX_METRICS)(target, key);
    IsObject({ each: true, message: 'each must be an object with a metric' })(target, key);
    ValidateNested({ each: true })(target, key);
    Type(type)(target, key);
  };

export class CreateAbTestDto {
  @ApiProperty({
    description: 'What is expected, and why.',
    example: 'The shorter prompt solves as many requests for less money.',
  })
  @IsString()
  @Length(1, 2000)
  hypothesis!: string;

  @ApiProperty({ description: 'The arm the others are held against.', example: 'control' })
  @IsName()
  control!: string;

  @ApiProperty({ description: 'The metric that decides.', type: JudgedMetricDto })
  @IsObject({ message: 'must be an object with a metric' })
  @ValidateNested()
  @Type(() => JudgedMetricDto)
  primary!: JudgedMetricDto;

  @ApiPropertyOptional({ description: 'Metrics that must not become worse.', type: [GuardrailDto] })
  @IfSent()
  @IsJudged(() => GuardrailDto)
  guardrails?: GuardrailDto[];

  @ApiPropertyOptional({
    description: 'Metrics that are shown and corrected for, and decide nothing.',
    type: [JudgedMetricDto],
    example: [{ metric: 'cost_micro_usd_per_request' }],
  })
  @IfSent()
  @IsJudged(() => JudgedMetricDto)
  secondary?: JudgedMetricDto[];

  @ApiPropertyOptional({
    description: 'Of the effects that decide: `relative` to control (0.05 is 5 %) or in the metric’s unit.',
    enum: SCALES,
    default: 'relative',
  })
  @IfSent()
  @IsIn(SCALES)
  scale?: Scale;

  @ApiProperty({ description: 'The smallest improvement that matters.', example: 0.05 })
  @IsNumber()
  @Min(1e-12)
  @Max(MAX_VALUE)
  minimumEffect!: number;

  @ApiProperty({ description: 'Days after which a decision is due, whatever is known.', example: 28 })
  @IsInt()
  @Min(1)
  @Max(365)
  maximumDays!: number;

  @ApiPropertyOptional({ description: 'Chance of a false alarm over all looks together.', default: 0.05 })
  @IfSent()
  @IsNumber()
  @Min(0.0001)
  @Max(0.2, { message: 'must not be greater than 0.2: a test that errs more often proves nothing' })
  alpha?: number;

  @ApiPropertyOptional({ description: 'Chance to find the minimum effect if it is there.', default: 0.8 })
  @IfSent()
  @IsNumber()
  @Min(0.5)
  @Max(0.999)
  power?: number;

  @ApiPropertyOptional({
    description: 'Units at which always-valid intervals are narrowest: about as many as are planned for.',
    default: 5000,
  })
  @IfSent()
  @IsInt()
  @Min(100)
  @Max(1_000_000_000)
  tunedUnits?: number;

  @ApiPropertyOptional({
    description: 'Fewest units in every arm before anything is decided.',
    default: 100,
  })
  @IfSent()
  @IsInt()
  @Min(2)
  @Max(1_000_000_000)
  minimumUnits?: number;

  @ApiPropertyOptional({
    description: 'Of a factorial test: which arm has which level of two factors.',
    type: FactorsDto,
    nullable: true,
    example: null,
  })
  @IsOptional()
  @IsObject({ message: 'must be an object with names and arms' })
  @ValidateNested()
  @Type(() => FactorsDto)
  factors?: FactorsDto | null;
}

export class UpdateAbTestDto extends PartialType(CreateAbTestDto, { skipNullProperties: false }) {
  @ApiPropertyOptional({
    description: 'What is expected, and why.',
    example: 'The shorter prompt solves as many requests for half the money.',
  })
  declare hypothesis?: string;
}

export class StopAbTestDto extends ReasonInput {}

export class DecideAbTestDto extends ReasonInput {
  @ApiProperty({
    description: '`ship`: all traffic to a treatment; `roll_back`: all to control.',
    enum: DECISIONS,
    example: 'ship',
  })
  @IsIn(DECISIONS)
  decision!: Decision;

  @ApiPropertyOptional({
    description: 'The treatment to ship; may be left out where there is one.',
    example: 'candidate',
  })
  @IfSent()
  @IsName()
  arm?: string;

  @ApiPropertyOptional({
    description: 'The split in force as you have seen it. If it is another by now: 409.',
    example: 1,
  })
  @IsExpectedRevision()
  expectedRevision?: number;
}

export class AbTestQuery extends PageQuery {
  @ApiPropertyOptional({ description: 'Only tests with this status.', enum: AB_TEST_STATUSES })
  @IfSent()
  @IsIn(AB_TEST_STATUSES)
  status?: AbTestStatus;
}

export class AbTestDto extends OmitType(CreateAbTestDto, ['factors'] as const) {
  @ApiProperty({ description: 'Id.', format: 'uuid' })
  id!: string;

  @ApiProperty({ description: 'Name of the endpoint.', example: 'support-bot' })
  endpoint!: string;

  @ApiProperty({ description: '`draft` until it is started.', enum: AB_TEST_STATUSES })
  status!: AbTestStatus;

  @ApiProperty({ description: 'Of a factorial test.', type: FactorsDto, nullable: true })
  factors!: FactorsDto | null;

  @ApiProperty({ description: 'When it was made.', format: 'date-time', type: String })
  createdAt!: Date;

  @ApiProperty({ description: 'Who made it.', example: 'ada' })
  createdBy!: string;

  @ApiProperty({ description: 'When it was last changed.', format: 'date-time', type: String })
  updatedAt!: Date;

  @ApiProperty({ description: 'Since when rows count.', format: 'date-time', type: String, nullable: true })
  startedAt!: Date | null;

  @ApiProperty({ description: 'Who started it.', type: String, nullable: true })
  startedBy!: string | null;

  @ApiProperty({ description: 'Split revision of its first phase.', type: Number, nullable: true })
  firstRevision!: number | null;

  @ApiProperty({ description: 'Until when rows count.', format: 'date-time', type: String, nullable: true })
  stoppedAt!: Date | null;

  @ApiProperty({ description: 'Who stopped it.', type: String, nullable: true })
  stoppedBy!: string | null;

  @ApiProperty({ description: 'Why, as they said.', type: String, nullable: true })
  stopReason!: string | null;

  @ApiProperty({ description: 'Split revision of its last phase.', type: Number, nullable: true })
  lastRevision!: number | null;

  @ApiProperty({ description: 'What became of it.', enum: DECISIONS, type: String, nullable: true })
  decision!: Decision | null;

  @ApiProperty({ description: 'The arm that all traffic went to then.', type: String, nullable: true })
  decidedArm!: string | null;

  @ApiProperty({ description: 'When that was.', format: 'date-time', type: String, nullable: true })
  decidedAt!: Date | null;

  @ApiProperty({ description: 'Who decided.', type: String, nullable: true })
  decidedBy!: string | null;

  @ApiProperty({ description: 'Why, as they said.', type: String, nullable: true })
  decisionReason!: string | null;
}
