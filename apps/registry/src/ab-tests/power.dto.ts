import { ApiProperty, ApiPropertyOptional, PickType } from '@nestjs/swagger';
import { IsInt, IsString, Length, Max, Min } from 'class-validator';
import { IfSent } from '../http/body-rules.js';
import { CreateAbTestDto } from './ab-test.dto.js';

export class PowerInput extends PickType(CreateAbTestDto, [
  'scale',
  'minimumEffect',
  'maximumDays',
  'alpha',
  'power',
  'tunedUnits',
] as const) {
  @ApiProperty({
    description:
      'Name of the metric that will decide; not a percentile, which recent rows do not tell the error of.',
    example: 'error_rate',
  })
  @IsString()
  @Length(1, 160)
  metric!: string;

  @ApiPropertyOptional({
    description: 'Share of the units that goes to the treatment, of those of the two arms, in basis points.',
    minimum: 1,
    maximum: 9999,
    default: 5000,
  })
  @IfSent()
  @IsInt()
  @Min(1)
  @Max(9999)
  treatmentShareBps?: number;

  @ApiPropertyOptional({
    description: 'Share of the endpoint’s units that the two arms get together, in basis points.',
    minimum: 1,
    maximum: 10_000,
    default: 10_000,
  })
  @IfSent()
  @IsInt()
  @Min(1)
  @Max(10_000)
  trafficShareBps?: number;

  @ApiPropertyOptional({
    description: 'Days of traffic up to now that are looked at.',
    minimum: 1,
    maximum: 31,
    default: 7,
  })
  @IfSent()
  @IsInt()
  @Min(1)
  @Max(31)
  days?: number;
}

export class PowerDto {
  @ApiProperty({
    description: 'Units seen in these days that say something about the metric.',
    example: 12_000,
  })
  units!: number;

  @ApiProperty({
    description: 'The metric’s value over them; null: none.',
    type: Number,
    nullable: true,
    example: 0.02,
  })
  value!: number | null;

  @ApiProperty({
    description:
      'Units a day that the two arms will get. Units that come back count once, so later days bring fewer new ones.',
    example: 1714,
  })
  unitsPerDay!: number;

  @ApiProperty({
    description:
      'Units of both arms for one look at a moment set before; null where the traffic cannot tell.',
    type: Number,
    nullable: true,
  })
  fixedHorizonUnits!: number | null;

  @ApiProperty({
    description:
      'Units of both arms that a test needs which is looked at all the time, as A/B tests here are.',
    type: Number,
    nullable: true,
  })
  alwaysValidUnits!: number | null;

  @ApiProperty({ description: 'Days these take.', type: Number, nullable: true })
  days!: number | null;

  @ApiProperty({
    description: 'The smallest effect that `maximumDays` find at one look at their end, in `scale`.',
    type: Number,
    nullable: true,
  })
  detectableEffect!: number | null;
}
