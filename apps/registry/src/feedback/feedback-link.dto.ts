import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { FEEDBACK_KINDS, type FeedbackKind } from '#libs/core/feedback/feedback-event.js';

/** What is sent; `readLink` holds it to this. */
export class CreateFeedbackLinkDto {
  @ApiPropertyOptional({
    description:
      'The inference that is judged. Exactly one of `inferenceId`, `clientRequestId` and `unit` is given.',
    format: 'uuid',
  })
  inferenceId?: string;

  @ApiPropertyOptional({
    description: "The caller's id of the request whose inference is judged.",
    example: 'order-123',
  })
  clientRequestId?: string;

  @ApiPropertyOptional({ description: 'The conversation, user or tenant that is judged.' })
  unit?: string;

  @ApiPropertyOptional({
    description: 'Only inferences of this serving endpoint are meant.',
    example: 'support-bot',
  })
  endpoint?: string;

  @ApiProperty({ description: 'What is judged; shown as the title of the form.', example: 'thumbs' })
  name!: string;

  @ApiPropertyOptional({
    description: 'Who is asked: becomes the source of the feedback.',
    example: 'customer-7',
  })
  sourceId?: string;

  @ApiProperty({ description: 'Kind of the value.', enum: FEEDBACK_KINDS, example: 'boolean' })
  kind!: FeedbackKind;

  @ApiPropertyOptional({
    description:
      'Of a number or a category: the only values that are taken, at most 20. Each is a button of the form.',
    type: 'array',
    items: { oneOf: [{ type: 'string' }, { type: 'number' }] },
  })
  values?: (string | number)[];

  @ApiPropertyOptional({
    description: 'Until when it is good, RFC 3339; at most 366 days ahead. 30 days, where it is left out.',
    format: 'date-time',
  })
  expiresAt?: string;
}

export class FeedbackLinkDto {
  @ApiProperty({
    description:
      'Where whoever holds it can judge without a key. GET shows a form, POST judges: `{"value": …, "comment": …}`, or the form.',
    example: 'https://llm.example.com/v1/feedback/links/k1.eyJ3Ijoi….Zx8…',
  })
  url!: string;

  @ApiProperty({ description: 'Until when it is good.', format: 'date-time' })
  expiresAt!: string;
}
