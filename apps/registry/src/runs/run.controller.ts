import { Body, Controller, Delete, Get, HttpCode, Param, Patch, Post, Put, Query } from '@nestjs/common';
import {
  ApiCreatedResponse,
  ApiNoContentResponse,
  ApiOkResponse,
  ApiOperation,
  ApiTags,
} from '@nestjs/swagger';
import { parseExperimentRef } from '../experiments/experiment-ref.js';
import { type Caller, CallerParam } from '../http/caller.js';
import { ApiErrors } from '../http/errors.doc.js';
import { ApiPage, type Page } from '../http/page.js';
import { runDto, runPage } from './run-answers.js';
import {
  CreateRunDto,
  ListRunsQuery,
  RunDetailDto,
  RunDto,
  RunParams,
  RunTagParams,
  UpdateRunDto,
} from './run.dto.js';
import { LogDto, SetTagDto } from './log/run-log.dto.js';
import { RunLog } from './log/run-log.service.js';
import { RunDetails } from './run-details.js';
import { RunService } from './run.service.js';

@ApiTags('runs')
@Controller('api/v1/runs')
export class RunController {
  constructor(
    private readonly service: RunService,
    private readonly details: RunDetails,
    private readonly log: RunLog,
  ) {}

  @Post()
  @ApiOperation({
    summary: 'Create a run',
    description: 'A run belongs to an experiment, logs metrics, params and tags, and owns artifacts.',
  })
  @ApiCreatedResponse({ description: 'Created.', type: RunDto })
  @ApiErrors(
    'VALIDATION_FAILED',
    'INVALID_JSON',
    'NOT_FOUND',
    'DELETED',
    'REFERENCE_NOT_FOUND',
    'REFERENCE_ARCHIVED',
    'PAYLOAD_TOO_LARGE',
  )
  create(
    @CallerParam() caller: Caller,
    @Body() { experimentId = '0', ...given }: CreateRunDto,
  ): Promise<RunDto> {
    return this.service
      .create(caller, { ...given, experiment: parseExperimentRef(experimentId, '/experimentId') })
      .then(runDto);
  }

  @Get()
  @ApiOperation({
    summary: 'List runs',
    description: 'Newest first; those of one experiment by their start.',
  })
  @ApiPage(RunDto, 'Runs, newest first.')
  @ApiErrors('VALIDATION_FAILED', 'INVALID_CURSOR', 'NOT_FOUND')
  list(
    @CallerParam() caller: Caller,
    @Query() { experimentId, ...query }: ListRunsQuery,
  ): Promise<Page<RunDto>> {
    return this.service
      .list(caller, {
        ...query,
        ...(experimentId !== undefined && { experiment: parseExperimentRef(experimentId, '/experimentId') }),
      })
      .then(runPage);
  }

  @Get(':id')
  @ApiOperation({ summary: 'Get a run with the latest value of everything it logged' })
  @ApiOkResponse({ description: 'The run, deleted or not.', type: RunDetailDto })
  @ApiErrors('VALIDATION_FAILED', 'NOT_FOUND')
  get(@CallerParam() caller: Caller, @Param() params: RunParams): Promise<RunDetailDto> {
    return this.details.get(caller, params.id);
  }

  @Patch(':id')
  @ApiOperation({ summary: 'Rename or end a run, or change what it belongs to' })
  @ApiOkResponse({ description: 'Changed.', type: RunDto })
  @ApiErrors(
    'VALIDATION_FAILED',
    'INVALID_JSON',
    'NOT_FOUND',
    'DELETED',
    'REFERENCE_NOT_FOUND',
    'REFERENCE_ARCHIVED',
    'PAYLOAD_TOO_LARGE',
  )
  update(
    @CallerParam() caller: Caller,
    @Param() params: RunParams,
    @Body() body: UpdateRunDto,
  ): Promise<RunDto> {
    return this.service.update(caller, params.id, body).then(runDto);
  }

  @Delete(':id')
  @ApiOperation({
    summary: 'Delete a run',
    description:
      'It leaves lists and takes no more writes, but can be restored until `catena gc` removes it.',
  })
  @ApiOkResponse({ description: 'Deleted, now or before.', type: RunDto })
  @ApiErrors('VALIDATION_FAILED', 'NOT_FOUND')
  delete(@CallerParam() caller: Caller, @Param() params: RunParams): Promise<RunDto> {
    return this.service.delete(caller, params.id).then(runDto);
  }

  @Post(':id/restore')
  @HttpCode(200)
  @ApiOperation({ summary: 'Restore a deleted run' })
  @ApiOkResponse({ description: 'In use.', type: RunDto })
  @ApiErrors('VALIDATION_FAILED', 'NOT_FOUND')
  restore(@CallerParam() caller: Caller, @Param() params: RunParams): Promise<RunDto> {
    return this.service.restore(caller, params.id).then(runDto);
  }

  @Post(':id/log')
  @HttpCode(204)
  @ApiOperation({
    summary: 'Log metrics, params and tags',
    description: 'All or nothing, and safe to repeat: when the answer was lost, send the same again.',
  })
  @ApiNoContentResponse({ description: 'Written.' })
  @ApiErrors(
    'VALIDATION_FAILED',
    'INVALID_JSON',
    'NOT_FOUND',
    'DELETED',
    'IMMUTABLE',
    'REFERENCE_NOT_FOUND',
    'REFERENCE_ARCHIVED',
    'PAYLOAD_TOO_LARGE',
  )
  write(@CallerParam() caller: Caller, @Param() params: RunParams, @Body() body: LogDto): Promise<void> {
    return this.log.log(caller, params.id, body);
  }

  @Put(':id/tags/:key')
  @HttpCode(204)
  @ApiOperation({ summary: 'Set a tag of a run' })
  @ApiNoContentResponse({ description: 'Set.' })
  @ApiErrors(
    'VALIDATION_FAILED',
    'INVALID_JSON',
    'NOT_FOUND',
    'DELETED',
    'REFERENCE_NOT_FOUND',
    'REFERENCE_ARCHIVED',
    'PAYLOAD_TOO_LARGE',
  )
  setTag(
    @CallerParam() caller: Caller,
    @Param() params: RunTagParams,
    @Body() body: SetTagDto,
  ): Promise<void> {
    return this.log.setTag(caller, params.id, params.key, body.value);
  }

  @Delete(':id/tags/:key')
  @HttpCode(204)
  @ApiOperation({ summary: 'Delete a tag of a run' })
  @ApiNoContentResponse({ description: 'Deleted.' })
  @ApiErrors('VALIDATION_FAILED', 'NOT_FOUND', 'DELETED')
  deleteTag(@CallerParam() caller: Caller, @Param() params: RunTagParams): Promise<void> {
    return this.log.deleteTag(caller, params.id, params.key);
  }
}
