import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { Type } from 'class-transformer';
import { IsInt, Max, Min } from 'class-validator';
import type { FactorialEffect } from '#libs/core/ab-test/factorial.js';
import type {
  AbTestAnalysis,
  ArmMetric,
  ArmResult,
  PhaseResult,
  SampleRatioResult,
  TreatmentResult,
} from '#libs/core/ab-test/results.js';
import { IfSent } from '../http/body-rules.js';
import { AB_TEST_STATUSES, type AbTestStatus } from './ab-test.entity.js';
import { DecisionDto, IntervalDto, maybe, MetricResultDto, TestReadingDto } from './metric-result.dto.js';

const MAX_REVISION = 2_147_483_647;

export class ResultsQuery {
  @ApiPropertyOptional({
    description: 'Only this phase: a split revision. Absent: all that can be compared, each within itself.',
    minimum: 1,
  })
  @IfSent()
  @Type(() => Number)
  @IsInt()
  @Min(1)
  @Max(MAX_REVISION)
  phase?: number;
}

class UnitsDto {
  @ApiProperty({ description: 'Units of control.', example: 5012 })
  control!: number;

  @ApiProperty({ description: 'Units of the treatment.', example: 4988 })
  treatment!: number;
}

export class TreatmentResultDto implements TreatmentResult {
  @ApiProperty({ description: 'Name of the arm.', example: 'candidate' })
  arm!: string;

  @ApiProperty({ description: 'Phases whose differences are combined.', type: [Number], example: [2] })
  phases!: number[];

  @ApiProperty({ description: 'Units in these phases.', type: UnitsDto })
  units!: UnitsDto;

  @ApiProperty({
    description: 'Its differences to control, the primary metric first.',
    type: [MetricResultDto],
  })
  metrics!: MetricResultDto[];

  @ApiProperty({ description: 'What to do about this arm.', type: DecisionDto })
  decision!: DecisionDto;
}

export class ArmMetricDto implements ArmMetric {
  @ApiProperty({ description: 'Name of the metric.', example: 'error_rate' })
  metric!: string;

  @ApiProperty({ description: 'Unit of its values.', example: 'ratio' })
  unit!: string;

  @maybe('The arm’s value; null: not known yet.', 0.02)
  value!: number | null;

  @maybe('Its standard error.', 0.003)
  standardError!: number | null;

  @ApiProperty({ description: 'Its confidence interval, for one look.', type: IntervalDto })
  interval!: IntervalDto;
}

export class ArmResultDto implements ArmResult {
  @ApiProperty({ description: 'Name of the arm.', example: 'control' })
  arm!: string;

  @ApiProperty({ description: 'Whether the others are held against it.' })
  isControl!: boolean;

  @ApiProperty({
    description: 'Units: conversations, users, tenants; a request without one is a unit.',
    example: 5012,
  })
  units!: number;

  @ApiProperty({ description: 'Their requests, those that failed included.', example: 12_873 })
  requests!: number;

  @ApiProperty({ description: 'Values of all metrics of the test.', type: [ArmMetricDto] })
  metrics!: ArmMetricDto[];
}

class ExpectedUnitsDto {
  @ApiProperty({ description: 'Name of the arm.', example: 'control' })
  arm!: string;

  @ApiProperty({ description: 'Units it should have by its weight.', example: 5000 })
  units!: number;
}

export class SampleRatioDto implements SampleRatioResult {
  @ApiProperty({
    description:
      'Whether the units fall in another way than the split says (p < 0.001): nothing is to be believed then.',
  })
  alarm!: boolean;

  @ApiProperty({ description: 'p-value of the χ² test.', example: 0.43 })
  pValue!: number;

  @maybe('χ²; null: infinite.', 0.62)
  statistic!: number | null;

  @ApiProperty({ description: 'Units as they should be.', type: [ExpectedUnitsDto] })
  expectedUnits!: ExpectedUnitsDto[];

  @ApiProperty({ description: 'The likely cause; null without alarm.', type: String, nullable: true })
  cause!: string | null;
}

class PhaseArmDto {
  @ApiProperty({ description: 'Name of the arm.', example: 'control' })
  arm!: string;

  @ApiProperty({ description: 'Its share of the units in basis points.', example: 5000 })
  weightBps!: number;

  @ApiProperty({ description: 'Units in this phase.', example: 5012 })
  units!: number;

  @ApiProperty({ description: 'Their requests.', example: 12_873 })
  requests!: number;
}

/** What is said of a phase beside the analysis. */
export class PhaseFactsDto {
  @ApiProperty({ description: 'Who put its split in force.', example: 'ada' })
  startedBy!: string;

  @ApiProperty({ description: 'Why, as they said.', type: String, nullable: true })
  startReason!: string | null;

  @ApiProperty({
    description: 'Why it ended: the reason of the next split, or of the stop.',
    type: String,
    nullable: true,
  })
  endReason!: string | null;

  @ApiProperty({ description: 'Units that no earlier phase has seen.', example: 10_000 })
  newUnits!: number;

  @ApiProperty({ description: 'Requests without a unit, which are units of their own.', example: 0 })
  withoutUnit!: number;

  @ApiProperty({ description: 'Requests that do not count: their unit was pinned to the arm.', example: 0 })
  overrides!: number;

  @ApiProperty({ description: 'Requests that do not count: copies for shadows.', example: 0 })
  shadows!: number;
}

export class PhaseResultDto extends PhaseFactsDto implements PhaseResult {
  @ApiProperty({ description: 'Its split.', example: 2 })
  splitRevision!: number;

  @ApiProperty({ description: 'When it began.', format: 'date-time' })
  startedAt!: string;

  @ApiProperty({
    description: 'When it ended; null: in force.',
    format: 'date-time',
    type: String,
    nullable: true,
  })
  endedAt!: string | null;

  @ApiProperty({ description: 'Arms of the split.', type: [PhaseArmDto] })
  arms!: PhaseArmDto[];

  @ApiProperty({ description: 'Whether the units fall as the split says.', type: SampleRatioDto })
  sampleRatio!: SampleRatioDto;

  @ApiProperty({ description: 'Whether a comparison uses it.' })
  analysed!: boolean;

  @ApiProperty({ description: 'Why not, where none does.', type: String, nullable: true })
  whyNot!: string | null;
}

export class FactorialEffectDto implements FactorialEffect {
  @ApiProperty({
    description:
      '`main`: of a level, whatever the other factor. `interaction`: what it gains more with a level of the other.',
    enum: ['main', 'interaction'],
  })
  kind!: FactorialEffect['kind'];

  @ApiProperty({ description: 'Which levels.', example: 'prompt: short − long' })
  name!: string;

  @ApiProperty({ description: 'In the metric’s unit.', example: 0.02 })
  estimate!: number;

  @maybe('Standard error; null: not known yet.')
  standardError!: number | null;

  @ApiProperty({ description: 'Safe to look at as often as one likes.', type: TestReadingDto })
  alwaysValid!: TestReadingDto;

  @ApiProperty({ description: 'Right for one look.', type: TestReadingDto })
  fixedHorizon!: TestReadingDto;
}

export class FreshnessDto {
  @ApiProperty({
    description: 'Everything that had arrived by then is in the figures.',
    format: 'date-time',
    type: String,
  })
  rowsAsOf!: Date;

  @ApiProperty({
    description: 'All feedback that had been matched by then is in the figures.',
    format: 'date-time',
    type: String,
  })
  feedbackAsOf!: Date;
}

export class AbTestResultsDto implements AbTestAnalysis {
  @ApiProperty({ description: 'Id of the test.', format: 'uuid' })
  id!: string;

  @ApiProperty({ description: 'Name of the endpoint.', example: 'support-bot' })
  endpoint!: string;

  @ApiProperty({ description: 'What was expected.' })
  hypothesis!: string;

  @ApiProperty({ description: 'Status of the test.', enum: AB_TEST_STATUSES })
  status!: AbTestStatus;

  @ApiProperty({ description: 'What the figures say should be done.', type: DecisionDto })
  decision!: DecisionDto;

  @ApiProperty({ description: 'Whether the units fall as the split says.', type: SampleRatioDto })
  sampleRatio!: SampleRatioDto;

  @ApiProperty({ description: 'Arms with their own values, control first.', type: [ArmResultDto] })
  arms!: ArmResultDto[];

  @ApiProperty({ description: 'Treatments against control.', type: [TreatmentResultDto] })
  treatments!: TreatmentResultDto[];

  @ApiProperty({ description: 'Phases in order of time.', type: [PhaseResultDto] })
  phases!: PhaseResultDto[];

  @ApiProperty({
    description:
      'Of a factorial test: effects of its factors on the primary metric; null while an arm has no value.',
    type: [FactorialEffectDto],
    nullable: true,
  })
  factorial!: FactorialEffectDto[] | null;

  @ApiProperty({ description: 'How far the figures are behind.', type: FreshnessDto })
  freshness!: FreshnessDto;

  @ApiProperty({ description: 'What to know beside the figures.', type: [String] })
  notes!: string[];
}
