import { ApiProperty } from '@nestjs/swagger';
import { FEEDBACK_KINDS, type FeedbackKind } from '#libs/core/feedback/feedback-event.js';
import { SummaryQuery } from '../inferences/inference-summary.dto.js';

/** Endpoint, grouping and time range are those of the inferences that are judged. */
export class FeedbackSummaryQuery extends SummaryQuery {}

export class FeedbackSummaryGroupDto {
  @ApiProperty({ description: 'What is judged.', example: 'thumbs' })
  name!: string;

  @ApiProperty({ description: 'Kind of the values.', enum: FEEDBACK_KINDS })
  kind!: FeedbackKind;

  @ApiProperty({ description: 'The arm; null when grouped by version.', type: String, nullable: true })
  arm!: string | null;

  @ApiProperty({ description: 'The chain; null when grouped by arm.', type: String, nullable: true })
  chain!: string | null;

  @ApiProperty({ description: 'Its version; null when grouped by arm.', type: Number, nullable: true })
  chainVersion!: number | null;

  @ApiProperty({ description: 'Judgements that count: the latest about each thing.', example: 120 })
  judgements!: number;

  @ApiProperty({
    description: 'Mean of numbers, or share of true; null for other kinds.',
    type: Number,
    nullable: true,
    example: 0.85,
  })
  mean!: number | null;

  @ApiProperty({
    description: 'How often each category was given; null for other kinds.',
    type: 'object',
    additionalProperties: { type: 'integer' },
    nullable: true,
    example: { 'wrong tone': 4 },
  })
  categories!: Record<string, number> | null;
}

export class FeedbackSummaryDto {
  @ApiProperty({
    description: 'One entry per name, kind and arm or version, in this order.',
    type: [FeedbackSummaryGroupDto],
  })
  groups!: FeedbackSummaryGroupDto[];
}
