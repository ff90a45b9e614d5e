import { Body, Controller, Post } from '@nestjs/common';
import {
  ApiBody,
  ApiCreatedResponse,
  ApiExtraModels,
  ApiOperation,
  ApiTags,
  getSchemaPath,
} from '@nestjs/swagger';
import { type Caller, CallerParam } from '../http/caller.js';
import { ApiErrors } from '../http/errors.doc.js';
import { CreateFeedbackLinkDto, FeedbackLinkDto } from './feedback-link.dto.js';
import { FeedbackLinkService } from './feedback-link.service.js';

@ApiTags('feedback')
@Controller('api/v1/feedback-links')
export class FeedbackLinkController {
  constructor(private readonly service: FeedbackLinkService) {}

  @Post()
  @ApiOperation({
    summary: 'Make a feedback link',
    description:
      'A URL at the gateway by which whoever holds it gives one kind of feedback about one thing. It is signed, not stored: it ends when it expires, or when its encryption key is taken away.',
  })
  @ApiExtraModels(CreateFeedbackLinkDto)
  @ApiBody({
    schema: {
      // With an example, so that it is about one thing only.
      allOf: [{ $ref: getSchemaPath(CreateFeedbackLinkDto) }],
      example: { clientRequestId: 'order-123', name: 'helpful', kind: 'boolean' },
    },
  })
  @ApiCreatedResponse({ description: 'The link.', type: FeedbackLinkDto })
  @ApiErrors('VALIDATION_FAILED', 'INVALID_JSON')
  create(@CallerParam() caller: Caller, @Body() body: unknown): FeedbackLinkDto {
    return this.service.create(caller, body);
  }
}
