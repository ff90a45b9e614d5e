import { ApiProperty } from '@nestjs/swagger';
import type { Direction } from '#libs/core/ab-test/metrics.js';
import type {
  Decision,
  GuardrailResult,
  MetricResult,
  MetricRole,
  Reading,
  Reason,
  ResultInterval,
  TestReading,
  Verdict,
} from '#libs/core/ab-test/results.js';
import type { Scale } from '#libs/core/statistics/effect.js';

/** Documents a number that may not be known. */
export const maybe = (description: string, example?: number): PropertyDecorator =>
  ApiProperty({ description, type: Number, nullable: true, ...(example !== undefined && { example }) });

export class IntervalDto implements ResultInterval {
  @maybe('Lower end; null: none.', -0.01)
  lower!: number | null;

  @maybe('Upper end; null: none.', 0.08)
  upper!: number | null;
}

export class TestReadingDto implements TestReading {
  @ApiProperty({ description: 'Confidence interval of the difference, at 1 − alpha.', type: IntervalDto })
  interval!: IntervalDto;

  @ApiProperty({ description: 'p-value of this metric alone.', example: 0.03 })
  pValue!: number;

  @ApiProperty({
    description:
      'After Holm: of the primary metric over the treatments, of the others over all metrics and treatments.',
    example: 0.06,
  })
  adjustedPValue!: number;
}

export class ReadingDto implements Reading {
  @ApiProperty({ description: 'Treatment minus control.', example: 0.035 })
  estimate!: number;

  @maybe('Standard error; null: not known yet.', 0.012)
  standardError!: number | null;

  @ApiProperty({
    description: 'Safe to look at as often as one likes. Decisions go by it.',
    type: TestReadingDto,
  })
  alwaysValid!: TestReadingDto;

  @ApiProperty({
    description: 'Right for one look, at a moment that was set before the start.',
    type: TestReadingDto,
  })
  fixedHorizon!: TestReadingDto;

  @ApiProperty({
    description: 'Probability that the treatment is better. Not safe against looking often.',
    example: 0.97,
  })
  chanceToWin!: number;

  @maybe('What shipping costs on average, if it is not better.')
  lossOfShipping!: number | null;

  @maybe('What keeping control costs on average, if the treatment is better.')
  lossOfKeeping!: number | null;
}

export class GuardrailResultDto implements GuardrailResult {
  @ApiProperty({ description: 'How much worse is tolerated.', example: 0.1 })
  margin!: number;

  @ApiProperty({ description: 'Of the margin.', enum: ['relative', 'absolute'] })
  scale!: Scale;

  @ApiProperty({
    description:
      '`breached`: worse than tolerated, proven at every look. `held`: within, proven. `open`: neither.',
    enum: ['breached', 'held', 'open'],
  })
  state!: GuardrailResult['state'];

  @maybe('How far beyond the margin it is at least, in the metric’s unit.')
  beyondAtLeast!: number | null;

  @maybe('How far beyond the margin it is at most; below 0: within.')
  beyondAtMost!: number | null;
}

export class CupedDto {
  @ApiProperty({ description: 'How much of the past is taken away.', example: 0.7 })
  theta!: number;

  @ApiProperty({ description: 'Share of the variance that is gone.', example: 0.4 })
  varianceReduction!: number;
}

export class MetricResultDto implements MetricResult {
  @ApiProperty({ description: 'Name of the metric.', example: 'feedback_rate:solved' })
  metric!: string;

  @ApiProperty({ description: 'What it is to the test.', enum: ['primary', 'guardrail', 'secondary'] })
  role!: MetricRole;

  @ApiProperty({ description: 'Which way is better.', enum: ['higher', 'lower'] })
  direction!: Direction;

  @ApiProperty({ description: 'Unit of its values.', example: 'ratio' })
  unit!: string;

  @ApiProperty({
    description: 'The difference to control in the metric’s unit; null while there is none.',
    type: ReadingDto,
    nullable: true,
  })
  absolute!: ReadingDto | null;

  @ApiProperty({
    description: 'The difference as a share of control’s value; null where that is 0, too.',
    type: ReadingDto,
    nullable: true,
  })
  relative!: ReadingDto | null;

  @ApiProperty({
    description: 'How far what the units did before the test narrowed it; null where it did not.',
    type: CupedDto,
    nullable: true,
  })
  cuped!: CupedDto | null;

  @ApiProperty({ description: 'Of a guardrail.', type: GuardrailResultDto, nullable: true })
  guardrail!: GuardrailResultDto | null;
}

export class DecisionDto implements Decision {
  @ApiProperty({ description: 'What to do.', enum: ['ship', 'roll_back', 'keep_running'] })
  decision!: Verdict;

  @ApiProperty({
    description: 'Why, for programs.',
    enum: [
      'better',
      'worse',
      'guardrail_breached',
      'sample_ratio_mismatch',
      'too_small_to_matter',
      'maximum_duration',
      'guardrail_open',
      'not_enough_units',
      'undecided',
    ] satisfies Reason[],
  })
  reason!: Reason;

  @ApiProperty({
    description: 'The arm it is about; null: all.',
    type: String,
    nullable: true,
    example: 'candidate',
  })
  arm!: string | null;

  @ApiProperty({ description: 'Why, for people, with the figures.' })
  sentence!: string;

  @maybe('Days until the minimum effect would be found, if that can be told.')
  daysLeft!: number | null;

  @maybe('Units of both arms that takes.')
  unitsNeeded!: number | null;
}
