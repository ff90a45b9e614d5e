import { Body, Controller, Delete, Get, HttpCode, Param, Patch, Post, Query } from '@nestjs/common';
import { ApiCreatedResponse, ApiOkResponse, ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import { type Caller, CallerParam } from '../http/caller.js';
import { ApiErrors } from '../http/errors.doc.js';
import { ApiPage, type Page } from '../http/page.js';
import { parseExperimentRef } from './experiment-ref.js';
import {
  CreateExperimentDto,
  ExperimentDto,
  experimentDto,
  experimentPage,
  ListExperimentsQuery,
  UpdateExperimentDto,
} from './experiment.dto.js';
import { ExperimentService } from './experiment.service.js';

const ApiId = () =>
  ApiParam({ name: 'experiment', description: 'UUID or number of the experiment.', example: '0' });
const ref = (given: string) => parseExperimentRef(given, '/experiment');

@ApiTags('experiments')
@Controller('api/v1/experiments')
export class ExperimentController {
  constructor(private readonly service: ExperimentService) {}

  @Post()
  @ApiOperation({ summary: 'Create an experiment', description: 'A named group of runs.' })
  @ApiCreatedResponse({ description: 'Created.', type: ExperimentDto })
  @ApiErrors('VALIDATION_FAILED', 'INVALID_JSON', 'ALREADY_EXISTS', 'PAYLOAD_TOO_LARGE')
  create(@CallerParam() caller: Caller, @Body() body: CreateExperimentDto): Promise<ExperimentDto> {
    return this.service.create(caller, body).then(experimentDto);
  }

  @Get()
  @ApiOperation({
    summary: 'List or search experiments',
    description: 'Latest first, unless ordered otherwise.',
  })
  @ApiPage(ExperimentDto, 'A page.')
  @ApiErrors('VALIDATION_FAILED', 'INVALID_CURSOR')
  list(@CallerParam() caller: Caller, @Query() query: ListExperimentsQuery): Promise<Page<ExperimentDto>> {
    return this.service.list(caller, query).then(experimentPage);
  }

  @Get(':experiment')
  @ApiOperation({ summary: 'Get an experiment' })
  @ApiId()
  @ApiOkResponse({ description: 'The experiment, deleted or not.', type: ExperimentDto })
  @ApiErrors('VALIDATION_FAILED', 'NOT_FOUND')
  get(@CallerParam() caller: Caller, @Param('experiment') experiment: string): Promise<ExperimentDto> {
    return this.service.get(caller, ref(experiment)).then(experimentDto);
  }

  @Patch(':experiment')
  @ApiOperation({ summary: 'Rename an experiment or change its tags' })
  @ApiId()
  @ApiOkResponse({ description: 'Changed.', type: ExperimentDto })
  @ApiErrors(
    'VALIDATION_FAILED',
    'INVALID_JSON',
    'NOT_FOUND',
    'DELETED',
    'ALREADY_EXISTS',
    'PAYLOAD_TOO_LARGE',
  )
  update(
    @CallerParam() caller: Caller,
    @Param('experiment') experiment: string,
    @Body() body: UpdateExperimentDto,
  ): Promise<ExperimentDto> {
    return this.service.update(caller, ref(experiment), body).then(experimentDto);
  }

  @Delete(':experiment')
  @ApiOperation({
    summary: 'Delete an experiment and its runs',
    description:
      'They leave lists and take no more writes, but can be restored until `catena gc` removes them.',
  })
  @ApiId()
  @ApiOkResponse({ description: 'Deleted.', type: ExperimentDto })
  @ApiErrors('VALIDATION_FAILED', 'NOT_FOUND', 'DELETED')
  delete(@CallerParam() caller: Caller, @Param('experiment') experiment: string): Promise<ExperimentDto> {
    return this.service.delete(caller, ref(experiment)).then(experimentDto);
  }

  @Post(':experiment/restore')
  @HttpCode(200)
  @ApiOperation({
    summary: 'Restore a deleted experiment',
    description: 'With the runs that were deleted with it; those deleted before stay deleted.',
  })
  @ApiId()
  @ApiOkResponse({ description: 'In use.', type: ExperimentDto })
  @ApiErrors('VALIDATION_FAILED', 'NOT_FOUND')
  restore(@CallerParam() caller: Caller, @Param('experiment') experiment: string): Promise<ExperimentDto> {
    return this.service.restore(caller, ref(experiment)).then(experimentDto);
  }
}
