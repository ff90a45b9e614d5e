import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { Type } from 'class-transformer';
import {
  ArrayMaxSize,
  ArrayMinSize,
  IsArray,
  IsBoolean,
  IsIn,
  IsInt,
  IsObject,
  IsString,
  Matches,
  Max,
  Min,
  ValidateNested,
} from 'class-validator';
import type { AdaptiveSettings } from '#libs/core/ab-test/adaptive.js';
import { RAMP_STEPS, type RampSettings, type Weight } from '#libs/core/ab-test/ramp.js';
import { isTimeZone, type Schedule } from '#libs/core/ab-test/schedule.js';
import { BUCKETS } from '#libs/core/assignment/split.js';
import { DomainError } from '#libs/core/errors/catalogue.js';
import { ReasonInput } from '../../access-events/access-event.dto.js';
import { IfSent } from '../../http/body-rules.js';
import { IsRfc3339 } from '../../http/timestamps.js';
import {
  STEERING_MODES,
  STEERING_STATES,
  type SteeringMode,
  type SteeringStateName,
} from './steering.entity.js';
import type { MoveAction } from './steering-rows.js';

const MAX_STEPS = 50;
const MAX_WINDOWS = 20;
const YEAR_MINUTES = 525_600;
/** Every change of the weights begins a phase, and every look reads all phases. */
const MIN_INTERVAL_MINUTES = 15;
const TIME = /^([01]\d|2[0-3]):[0-5]\d$|^24:00$/;

export class WindowDto {
  @ApiProperty({ description: 'Days of the week, 1 is Monday.', type: [Number], example: [1, 2, 3, 4] })
  @IsArray()
  @ArrayMinSize(1)
  @ArrayMaxSize(7)
  @IsInt({ each: true })
  @Min(1, { each: true })
  @Max(7, { each: true })
  days!: number[];

  @ApiProperty({ description: 'From this time.', example: '09:00' })
  @Matches(TIME, { message: 'must be HH:MM' })
  from!: string;

  @ApiProperty({ description: 'Before this time.', example: '16:00' })
  @Matches(TIME, { message: 'must be HH:MM' })
  to!: string;
}

export class ScheduleDto implements Schedule {
  @ApiPropertyOptional({
    description: 'Not before, with the offset from UTC.',
    format: 'date-time',
    example: '2026-12-01T08:00:00Z',
  })
  @IfSent()
  @IsRfc3339()
  notBefore?: string;

  @ApiPropertyOptional({
    description:
      'When traffic may be given to treatments; absent: at any time. Taking it away is never delayed.',
    type: [WindowDto],
  })
  @IfSent()
  @IsArray()
  @ArrayMaxSize(MAX_WINDOWS)
  @IsObject({ each: true, message: 'each must be an object with days, from and to' })
  @ValidateNested({ each: true })
  @Type(() => WindowDto)
  windows?: WindowDto[];

  @ApiPropertyOptional({ description: 'Time zone of the windows.', default: 'UTC', example: 'Europe/Berlin' })
  @IfSent()
  @IsString()
  timeZone?: string;
}

class SteeringInput {
  @ApiPropertyOptional({
    description:
      'Whether a treatment that breaches a guardrail, or is proven worse, loses its traffic to control at once and by itself; where all do, the test ends with control. Else it pauses.',
    default: true,
  })
  @IfSent()
  @IsBoolean()
  autoRollBack?: boolean;

  @ApiPropertyOptional({ description: 'When it may give traffic to treatments.', type: ScheduleDto })
  @IfSent()
  @IsObject({ message: 'must be an object' })
  @ValidateNested()
  @Type(() => ScheduleDto)
  schedule?: ScheduleDto;
}

export class PutRampDto extends SteeringInput {
  @ApiPropertyOptional({
    description:
      'Share of the traffic for all treatments together, step by step, in basis points, ascending.',
    type: [Number],
    default: RAMP_STEPS,
    example: [...RAMP_STEPS],
  })
  @IfSent()
  @IsArray()
  @ArrayMinSize(1)
  @ArrayMaxSize(MAX_STEPS)
  @IsInt({ each: true })
  @Min(1, { each: true })
  @Max(BUCKETS, { each: true })
  stepsBps?: number[];

  @ApiPropertyOptional({
    description: 'Share that stays on control at the end, in basis points.',
    default: 0,
    example: 500,
  })
  @IfSent()
  @IsInt()
  @Min(0)
  @Max(BUCKETS - 1)
  holdoutBps?: number;

  @ApiPropertyOptional({ description: 'How long each step lasts at least.', default: 60, example: 60 })
  @IfSent()
  @IsInt()
  @Min(0)
  @Max(YEAR_MINUTES)
  minimumMinutes?: number;

  @ApiPropertyOptional({
    description: 'Units that control and every treatment have in a step before the next.',
    default: 100,
    example: 100,
  })
  @IfSent()
  @IsInt()
  @Min(0)
  @Max(1_000_000_000)
  minimumUnits?: number;

  @ApiPropertyOptional({
    description: 'What the last step needs: a decision to `ship`, or `no_harm` as every step does.',
    enum: ['ship', 'no_harm'],
    default: 'ship',
  })
  @IfSent()
  @IsIn(['ship', 'no_harm'])
  lastStepNeeds?: 'ship' | 'no_harm';
}

export class PutAdaptiveDto extends SteeringInput {
  @ApiPropertyOptional({
    description:
      'Time between two changes of the weights. Each begins a phase, of which there is a limit of 1000.',
    minimum: MIN_INTERVAL_MINUTES,
    default: 60,
  })
  @IfSent()
  @IsInt()
  @Min(MIN_INTERVAL_MINUTES)
  @Max(YEAR_MINUTES)
  intervalMinutes?: number;

  @ApiPropertyOptional({
    description: 'No arm gets less, in basis points; at most 10 000 divided by the arms of the split.',
    default: 500,
  })
  @IfSent()
  @IsInt()
  @Min(1)
  @Max(5000)
  floorBps?: number;

  @ApiPropertyOptional({ description: 'Units of every arm before the first change.', default: 100 })
  @IfSent()
  @IsInt()
  @Min(2)
  @Max(1_000_000_000)
  minimumUnits?: number;

  @ApiPropertyOptional({
    description: 'Weights that would change by less stay: every change begins a phase.',
    default: 100,
  })
  @IfSent()
  @IsInt()
  @Min(1)
  @Max(BUCKETS)
  minimumChangeBps?: number;
}

/** @throws DomainError VALIDATION_FAILED. */
export function rampSettings(given: PutRampDto): RampSettings {
  const settings: RampSettings = {
    stepsBps: given.stepsBps ?? RAMP_STEPS,
    holdoutBps: given.holdoutBps ?? 0,
    minimumMinutes: given.minimumMinutes ?? 60,
    minimumUnits: given.minimumUnits ?? 100,
    lastStepNeeds: given.lastStepNeeds ?? 'ship',
    autoRollBack: given.autoRollBack ?? true,
    schedule: scheduleOf(given),
  };
  const { stepsBps } = settings;
  if (stepsBps.some((step, at) => at > 0 && step <= stepsBps[at - 1]!))
    throw invalid('/stepsBps', 'must ascend: each step gives the treatments more than the one before');
  return settings;
}

/** @throws DomainError VALIDATION_FAILED. */
export function adaptiveSettings(given: PutAdaptiveDto): AdaptiveSettings {
  return {
    intervalMinutes: given.intervalMinutes ?? 60,
    floorBps: given.floorBps ?? 500,
    minimumUnits: given.minimumUnits ?? 100,
    minimumChangeBps: given.minimumChangeBps ?? 100,
    autoRollBack: given.autoRollBack ?? true,
    schedule: scheduleOf(given),
  };
}

function scheduleOf({ schedule = {} }: SteeringInput): Schedule {
  if (schedule.timeZone !== undefined && !isTimeZone(schedule.timeZone))
    throw invalid('/schedule/timeZone', 'is no time zone; use an IANA name, for instance Europe/Berlin');
  const upsideDown = schedule.windows?.findIndex(({ from, to }) => from >= to) ?? -1;
  if (upsideDown !== -1)
    throw invalid(
      `/schedule/windows/${upsideDown}/to`,
      'must lie behind from; a window over midnight is two',
    );
  const { notBefore, windows, timeZone } = schedule;
  return {
    ...(notBefore !== undefined && { notBefore }),
    ...(windows && { windows }),
    ...(timeZone !== undefined && { timeZone }),
  };
}

function invalid(path: string, message: string): DomainError {
  return new DomainError('VALIDATION_FAILED', `${path} ${message}.`, [{ path, message }]);
}

export class SteeringActionDto extends ReasonInput {}

export class WeightDto implements Weight {
  @ApiProperty({ description: 'Name of the arm.', example: 'candidate' })
  arm!: string;

  @ApiProperty({ description: 'Its share of the units in basis points.', example: 500 })
  weightBps!: number;
}

export class SteeringDto {
  @ApiProperty({ description: 'Id of the A/B test.', format: 'uuid' })
  abTestId!: string;

  @ApiProperty({ description: 'What moves the split.', enum: STEERING_MODES })
  mode!: SteeringMode;

  @ApiProperty({
    description: 'As they were put, with their defaults.',
    type: 'object',
    additionalProperties: true,
    example: { stepsBps: [...RAMP_STEPS], holdoutBps: 0 },
  })
  settings!: object;

  @ApiProperty({
    description: '`ended`: it never moves the split again.',
    enum: STEERING_STATES,
  })
  state!: SteeringStateName;

  @ApiProperty({
    description:
      'Of a ramp, index of the step in force; of an adaptive test, how often the weights changed, less 1. −1: not begun.',
    example: 2,
  })
  step!: number;

  @ApiProperty({ description: 'Since when.', format: 'date-time', type: String })
  since!: Date;

  @ApiProperty({
    description: 'The split it set or took over; null before the first.',
    type: Number,
    nullable: true,
    example: 5,
  })
  revision!: number | null;

  @ApiProperty({
    description: 'Treatments that did harm and get no units any more.',
    type: [String],
    example: [],
  })
  dropped!: string[];

  @ApiProperty({
    description:
      'What it paused for, where a harm (`harm:<split revision>:<arm>`), a sample-ratio alarm (`sample_ratio:<split revision>`) or a decision against the last step (`roll_back:<split revision>`) did. Resuming acknowledges them.',
    type: [String],
    example: ['sample_ratio:5'],
  })
  alarms!: string[];

  @ApiProperty({
    description:
      'Alarms it was resumed in spite of; they do not pause it again. Who resumed it, and why: `GET …/moves`.',
    type: [String],
    example: [],
  })
  acknowledged!: string[];

  @ApiProperty({
    description: 'What it waits for, or why it paused or ended.',
    example: 'Arm "candidate" has 64 of at least 100 units in this step.',
  })
  note!: string;

  @ApiProperty({
    description: 'When it was last looked at.',
    format: 'date-time',
    type: String,
    nullable: true,
  })
  lookedAt!: Date | null;

  @ApiProperty({ description: 'When it last changed.', format: 'date-time', type: String })
  updatedAt!: Date;

  @ApiProperty({
    description: 'Who or what changed it.',
    example: 'ab-test:019c0f3e-5b7a-7c7e-9f0e-3a5d2f6b8c11',
  })
  updatedBy!: string;
}

export class SteeringMoveDto {
  @ApiProperty({ description: 'Id.', format: 'uuid' })
  id!: string;

  @ApiProperty({ description: 'When.', format: 'date-time', type: String })
  at!: Date;

  @ApiProperty({
    description: 'What was done.',
    enum: ['set', 'split', 'pause', 'resume', 'advance', 'roll_back', 'kill', 'stop'],
  })
  action!: MoveAction;

  @ApiProperty({ description: 'The step it was at then.', example: 2 })
  step!: number;

  @ApiProperty({ description: 'The split it made; null: none.', type: Number, nullable: true, example: 5 })
  revision!: number | null;

  @ApiProperty({ description: 'Weights of that split.', type: [WeightDto], nullable: true })
  weights!: WeightDto[] | null;

  @ApiProperty({ description: 'Why.', example: 'Step 3 of 5: 25 % to the treatments; its gates are open.' })
  reason!: string;

  @ApiProperty({ description: 'Who or what did it.', example: 'ada' })
  actor!: string;
}
