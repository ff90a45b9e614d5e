import { Controller, Get, Param, Query } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import { type Caller, CallerParam } from '../http/caller.js';
import { ApiErrors } from '../http/errors.doc.js';
import { ApiPage, type Page } from '../http/page.js';
import { SummaryDto, SummaryQuery } from './inference-summary.dto.js';
import { InferenceDto, InferenceItemDto, InferenceQuery } from './inference.dto.js';
import { InferenceService } from './inference.service.js';

@ApiTags('inferences')
@Controller('api/v1/inferences')
export class InferenceController {
  constructor(private readonly service: InferenceService) {}

  @Get()
  @ApiOperation({
    summary: 'List inferences',
    description: 'Newest first, without metadata and bodies. The time range is mandatory, 31 days at most.',
  })
  @ApiPage(InferenceItemDto, 'Inferences, newest first.')
  @ApiErrors('VALIDATION_FAILED', 'INVALID_CURSOR', 'SEARCH_TOO_SLOW', 'OBJECT_STORE_UNAVAILABLE')
  list(@CallerParam() caller: Caller, @Query() query: InferenceQuery): Promise<Page<InferenceItemDto>> {
    return this.service.list(caller, query);
  }

  // Declared before `:id`, which would match it too.
  @Get('summary')
  @ApiOperation({
    summary: 'Compare the chain versions or arms of an endpoint',
    description: 'Requests, outcomes, schema-valid rate, latency, tokens and cost per group.',
  })
  @ApiOkResponse({ description: 'One entry per group.', type: SummaryDto })
  @ApiErrors('VALIDATION_FAILED', 'SEARCH_TOO_SLOW', 'OBJECT_STORE_UNAVAILABLE')
  summarize(@CallerParam() caller: Caller, @Query() query: SummaryQuery): Promise<SummaryDto> {
    return this.service.summarize(caller, query);
  }

  @Get(':id')
  @ApiParam({ name: 'id', description: 'Id of the inference, a UUIDv7.', format: 'uuid' })
  @ApiOperation({ summary: 'Get an inference with its request and response' })
  @ApiOkResponse({ description: 'The inference.', type: InferenceDto })
  @ApiErrors('NOT_FOUND', 'SEARCH_TOO_SLOW', 'OBJECT_STORE_UNAVAILABLE')
  get(@CallerParam() caller: Caller, @Param('id') id: string): Promise<InferenceDto> {
    return this.service.get(caller, id);
  }
}
