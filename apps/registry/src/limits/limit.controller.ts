import { Body, Controller, Delete, Get, HttpCode, Param, Patch, Post, Query } from '@nestjs/common';
import {
  ApiCreatedResponse,
  ApiNoContentResponse,
  ApiOkResponse,
  ApiOperation,
  ApiParam,
  ApiTags,
} from '@nestjs/swagger';
import { AccessEventDto } from '../access-events/access-event.dto.js';
import { type Caller, CallerParam } from '../http/caller.js';
import { ApiErrors } from '../http/errors.doc.js';
import { ApiPage, PageQuery, type Page } from '../http/page.js';
import { CreateLimitDto, LimitDto, UpdateLimitDto } from './limit.dto.js';
import { LimitService } from './limit.service.js';

const NameParam = (): MethodDecorator =>
  ApiParam({ name: 'name', description: 'Name of the limit.', example: 'support-monthly' });

@ApiTags('limits')
@Controller('api/v1/limits')
export class LimitController {
  constructor(private readonly service: LimitService) {}

  @Post()
  @ApiOperation({
    summary: 'Set a limit',
    description:
      'A rate or a budget of requests, tokens or cost. A request reserves what it may use at most and pays what it did use.',
  })
  @ApiCreatedResponse({ description: 'The limit.', type: LimitDto })
  @ApiErrors('VALIDATION_FAILED', 'INVALID_JSON', 'ALREADY_EXISTS', 'REFERENCE_NOT_FOUND')
  create(@CallerParam() caller: Caller, @Body() body: CreateLimitDto): Promise<LimitDto> {
    return this.service.create(caller, body);
  }

  @Get()
  @ApiOperation({ summary: 'List limits', description: 'Ordered by name.' })
  @ApiPage(LimitDto, 'Limits in order of their names.')
  @ApiErrors('VALIDATION_FAILED', 'INVALID_CURSOR')
  list(@CallerParam() caller: Caller, @Query() query: PageQuery): Promise<Page<LimitDto>> {
    return this.service.list(caller, query);
  }

  @Get(':name')
  @NameParam()
  @ApiOperation({ summary: 'Get a limit' })
  @ApiOkResponse({ description: 'The limit.', type: LimitDto })
  @ApiErrors('NOT_FOUND')
  get(@CallerParam() caller: Caller, @Param('name') name: string): Promise<LimitDto> {
    return this.service.get(caller, name);
  }

  @Patch(':name')
  @NameParam()
  @ApiOperation({
    summary: 'Change a limit',
    description: 'Absent fields stay as they are. What was used stays used. Gateways follow within a moment.',
  })
  @ApiOkResponse({ description: 'The limit as it is now.', type: LimitDto })
  @ApiErrors('VALIDATION_FAILED', 'INVALID_JSON', 'NOT_FOUND', 'REVISION_CONFLICT')
  update(
    @CallerParam() caller: Caller,
    @Param('name') name: string,
    @Body() body: UpdateLimitDto,
  ): Promise<LimitDto> {
    return this.service.update(caller, name, body);
  }

  @Delete(':name')
  @HttpCode(204)
  @NameParam()
  @ApiOperation({ summary: 'Remove a limit' })
  @ApiNoContentResponse({ description: 'It is gone.' })
  @ApiErrors('NOT_FOUND')
  delete(@CallerParam() caller: Caller, @Param('name') name: string): Promise<void> {
    return this.service.delete(caller, name);
  }

  @Get(':name/events')
  @NameParam()
  @ApiOperation({
    summary: 'What was done to a limit',
    description: 'By whom and why, newest first.',
  })
  @ApiPage(AccessEventDto, 'Events, newest first.')
  @ApiErrors('VALIDATION_FAILED', 'INVALID_CURSOR', 'NOT_FOUND')
  events(
    @CallerParam() caller: Caller,
    @Param('name') name: string,
    @Query() query: PageQuery,
  ): Promise<Page<AccessEventDto>> {
    return this.service.events(caller, name, query);
  }
}
