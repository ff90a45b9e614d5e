import { Body, Controller, Get, Param, Post, Query } from '@nestjs/common';
import { ApiCreatedResponse, ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { type Caller, CallerParam } from '../http/caller.js';
import { ApiErrors } from '../http/errors.doc.js';
import { ApiPage, PageQuery, type Page } from '../http/page.js';
import { CreateRunDto, RunDto, RunParams } from './run.dto.js';
import { RunService } from './run.service.js';

@ApiTags('runs')
@Controller('api/v1/runs')
export class RunController {
  constructor(private readonly service: RunService) {}

  @Post()
  @ApiOperation({
    summary: 'Create a run',
    description: 'A run owns artifacts: evaluation reports, adapters, samples.',
  })
  @ApiCreatedResponse({ description: 'Created.', type: RunDto })
  @ApiErrors('VALIDATION_FAILED', 'INVALID_JSON', 'PAYLOAD_TOO_LARGE')
  create(@CallerParam() caller: Caller, @Body() body: CreateRunDto): Promise<RunDto> {
    return this.service.create(caller, body);
  }

  @Get()
  @ApiOperation({ summary: 'List runs', description: 'Newest first.' })
  @ApiPage(RunDto, 'Runs, newest first.')
  @ApiErrors('VALIDATION_FAILED', 'INVALID_CURSOR')
  list(@CallerParam() caller: Caller, @Query() query: PageQuery): Promise<Page<RunDto>> {
    return this.service.list(caller, query);
  }

  @Get(':id')
  @ApiOperation({ summary: 'Get a run' })
  @ApiOkResponse({ description: 'The run.', type: RunDto })
  @ApiErrors('VALIDATION_FAILED', 'NOT_FOUND')
  get(@CallerParam() caller: Caller, @Param() params: RunParams): Promise<RunDto> {
    return this.service.get(caller, params.id);
  }
}
