import { Body, Controller, Get, HttpCode, Param, Patch, Post, Query } from '@nestjs/common';
import { ApiCreatedResponse, ApiOkResponse, ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import { type Caller, CallerParam } from '../http/caller.js';
import { ApiErrors } from '../http/errors.doc.js';
import { ApiPage, type Page } from '../http/page.js';
import {
  CreateEndpointDto,
  EndpointDto,
  EndpointItemDto,
  EndpointQuery,
  UpdateEndpointDto,
} from './endpoint.dto.js';
import { EndpointService } from './endpoint.service.js';

const NameParam = (): MethodDecorator =>
  ApiParam({ name: 'name', description: 'Name of the endpoint.', example: 'support-bot' });

@ApiTags('endpoints')
@Controller('api/v1/endpoints')
export class EndpointController {
  constructor(private readonly service: EndpointService) {}

  @Post()
  @ApiOperation({
    summary: 'Create a serving endpoint',
    description: 'The stable name that applications call. It is served from its first split on.',
  })
  @ApiCreatedResponse({ description: 'Created.', type: EndpointDto })
  @ApiErrors('VALIDATION_FAILED', 'INVALID_JSON', 'ALREADY_EXISTS')
  create(@CallerParam() caller: Caller, @Body() body: CreateEndpointDto): Promise<EndpointDto> {
    return this.service.create(caller, body);
  }

  @Get()
  @ApiOperation({
    summary: 'List serving endpoints',
    description: 'Ordered by name. With `chain`: where is a chain live, and which of its versions?',
  })
  @ApiPage(EndpointItemDto, 'Endpoints in order of their names, with the split in force.')
  @ApiErrors('VALIDATION_FAILED', 'INVALID_CURSOR')
  list(@CallerParam() caller: Caller, @Query() query: EndpointQuery): Promise<Page<EndpointItemDto>> {
    return this.service.list(caller, query);
  }

  @Get(':name')
  @NameParam()
  @ApiOperation({ summary: 'Get a serving endpoint with the split in force' })
  @ApiOkResponse({ description: 'The endpoint.', type: EndpointDto })
  @ApiErrors('NOT_FOUND')
  get(@CallerParam() caller: Caller, @Param('name') name: string): Promise<EndpointDto> {
    return this.service.get(caller, name);
  }

  @Patch(':name')
  @NameParam()
  @ApiOperation({
    summary: 'Change a serving endpoint',
    description:
      'Absent fields stay as they are, `null` clears the description. A higher data class is never refused, also where none of its model endpoints is cleared for it: requests then fail until one is.',
  })
  @ApiOkResponse({ description: 'The endpoint as it is now.', type: EndpointDto })
  @ApiErrors('VALIDATION_FAILED', 'INVALID_JSON', 'NOT_FOUND', 'ARCHIVED')
  update(
    @CallerParam() caller: Caller,
    @Param('name') name: string,
    @Body() body: UpdateEndpointDto,
  ): Promise<EndpointDto> {
    return this.service.update(caller, name, body);
  }

  @Post(':name/archive')
  @HttpCode(200)
  @NameParam()
  @ApiOperation({
    summary: 'Archive a serving endpoint',
    description: 'Gateways stop serving it. Its splits and inferences stay.',
  })
  @ApiOkResponse({ description: 'Archived.', type: EndpointDto })
  @ApiErrors('NOT_FOUND')
  archive(@CallerParam() caller: Caller, @Param('name') name: string): Promise<EndpointDto> {
    return this.service.archive(caller, name);
  }

  @Post(':name/restore')
  @HttpCode(200)
  @NameParam()
  @ApiOperation({
    summary: 'Restore an archived serving endpoint',
    description:
      'It is served again with the split it had, provided that its model endpoints are still there.',
  })
  @ApiOkResponse({ description: 'Served again.', type: EndpointDto })
  @ApiErrors('NOT_FOUND', 'REFERENCE_NOT_FOUND', 'REFERENCE_ARCHIVED', 'NOT_CLEARED')
  restore(@CallerParam() caller: Caller, @Param('name') name: string): Promise<EndpointDto> {
    return this.service.restore(caller, name);
  }
}
