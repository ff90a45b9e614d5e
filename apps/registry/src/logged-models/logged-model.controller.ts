import { Body, Controller, Delete, Get, HttpCode, Param, Patch, Post } from '@nestjs/common';
import { ApiCreatedResponse, ApiOkResponse, ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import { validate } from 'uuid';
import { DomainError } from '#libs/core/errors/catalogue.js';
import { parseExperimentRef } from '../experiments/experiment-ref.js';
import { type Caller, CallerParam } from '../http/caller.js';
import { ApiErrors } from '../http/errors.doc.js';
import { ApiPage, type Page } from '../http/page.js';
import { readOrderBy } from '../search/search-text.js';
import { SearchLoggedModelsDto } from './logged-model-search.dto.js';
import { LoggedModelSearchService, type LoggedModelSearch } from './logged-model-search.service.js';
import {
  CreateLoggedModelDto,
  loggedModelDto,
  LoggedModelDto,
  LogModelParamsDto,
  UpdateLoggedModelDto,
} from './logged-model.dto.js';
import { LoggedModelService } from './logged-model.service.js';

const ApiId = (): MethodDecorator =>
  ApiParam({
    name: 'loggedModelId',
    description: 'Id of the logged model.',
    schema: { type: 'string', format: 'uuid', example: '019aab3c-5d10-7c43-9a55-0d3c8f1a2b4c' },
  });

@ApiTags('logged models')
@Controller('api/v1/logged-models')
export class LoggedModelController {
  constructor(
    private readonly service: LoggedModelService,
    private readonly finder: LoggedModelSearchService,
  ) {}

  @Post()
  @ApiOperation({
    summary: 'Create a logged model',
    description:
      'It is PENDING: upload its artifacts, then say READY. What runs measure of it is logged with the run.',
  })
  @ApiCreatedResponse({ description: 'Created.', type: LoggedModelDto })
  @ApiErrors(
    'VALIDATION_FAILED',
    'INVALID_JSON',
    'NOT_FOUND',
    'DELETED',
    'REFERENCE_NOT_FOUND',
    'PAYLOAD_TOO_LARGE',
  )
  create(@CallerParam() caller: Caller, @Body() body: CreateLoggedModelDto): Promise<LoggedModelDto> {
    return this.service.create(caller, toCreate(body)).then(loggedModelDto);
  }

  @Post('search')
  @HttpCode(200)
  @ApiOperation({ summary: 'Search logged models', description: 'Deleted ones are left out.' })
  @ApiPage(LoggedModelDto, 'Logged models that match, in order.')
  @ApiErrors('VALIDATION_FAILED', 'INVALID_JSON', 'INVALID_CURSOR')
  search(@CallerParam() caller: Caller, @Body() body: SearchLoggedModelsDto): Promise<Page<LoggedModelDto>> {
    return this.finder
      .search(caller, toSearch(body))
      .then(({ items, nextCursor }) => ({ items: items.map(loggedModelDto), nextCursor }));
  }

  @Get(':loggedModelId')
  @ApiOperation({ summary: 'Get a logged model', description: 'Also a deleted one.' })
  @ApiId()
  @ApiOkResponse({ description: 'The logged model.', type: LoggedModelDto })
  @ApiErrors('VALIDATION_FAILED', 'NOT_FOUND')
  get(@CallerParam() caller: Caller, @Param('loggedModelId') id: string): Promise<LoggedModelDto> {
    return this.service.get(caller, id).then(loggedModelDto);
  }

  @Patch(':loggedModelId')
  @ApiOperation({ summary: 'Update a logged model', description: 'Its status and tags.' })
  @ApiId()
  @ApiOkResponse({ description: 'Updated.', type: LoggedModelDto })
  @ApiErrors('VALIDATION_FAILED', 'INVALID_JSON', 'NOT_FOUND', 'DELETED', 'PAYLOAD_TOO_LARGE')
  update(
    @CallerParam() caller: Caller,
    @Param('loggedModelId') id: string,
    @Body() body: UpdateLoggedModelDto,
  ): Promise<LoggedModelDto> {
    return this.service.update(caller, id, body).then(loggedModelDto);
  }

  @Post(':loggedModelId/params')
  @HttpCode(200)
  @ApiOperation({
    summary: 'Add params to a logged model',
    description: 'A param never changes once it is set.',
  })
  @ApiId()
  @ApiOkResponse({ description: 'Added.', type: LoggedModelDto })
  @ApiErrors('VALIDATION_FAILED', 'INVALID_JSON', 'NOT_FOUND', 'DELETED', 'IMMUTABLE', 'PAYLOAD_TOO_LARGE')
  logParams(
    @CallerParam() caller: Caller,
    @Param('loggedModelId') id: string,
    @Body() body: LogModelParamsDto,
  ): Promise<LoggedModelDto> {
    return this.service.logParams(caller, id, body.params).then(loggedModelDto);
  }

  @Delete(':loggedModelId')
  @ApiOperation({
    summary: 'Delete a logged model',
    description:
      'It leaves searches and takes no more changes, but can be restored until it is collected as garbage.',
  })
  @ApiId()
  @ApiOkResponse({ description: 'Deleted.', type: LoggedModelDto })
  @ApiErrors('VALIDATION_FAILED', 'NOT_FOUND')
  delete(@CallerParam() caller: Caller, @Param('loggedModelId') id: string): Promise<LoggedModelDto> {
    return this.service.delete(caller, id).then(loggedModelDto);
  }

  @Post(':loggedModelId/restore')
  @HttpCode(200)
  @ApiOperation({ summary: 'Restore a deleted logged model' })
  @ApiId()
  @ApiOkResponse({ description: 'In use.', type: LoggedModelDto })
  @ApiErrors('VALIDATION_FAILED', 'NOT_FOUND')
  restore(@CallerParam() caller: Caller, @Param('loggedModelId') id: string): Promise<LoggedModelDto> {
    return this.service.restore(caller, id).then(loggedModelDto);
  }
}

function toCreate({
  experiment,
  ...given
}: CreateLoggedModelDto): Parameters<LoggedModelService['create']>[1] {
  return experiment === undefined
    ? given
    : { ...given, experiment: parseExperimentRef(experiment, '/experiment') };
}

function toSearch(body: SearchLoggedModelsDto): LoggedModelSearch {
  return {
    experiments: { ids: body.experimentIds.map(checkedId) },
    filter: body.filter,
    datasets: body.datasets ?? [],
    orderBy: readOrderBy('loggedModel', body.orderBy),
    limit: body.limit,
    cursor: body.cursor,
  };
}

function checkedId(id: string, index: number): string {
  if (validate(id)) return id;
  const problem = { path: `/experimentIds/${index}`, message: 'must be the UUID of an experiment' };
  throw new DomainError(
    'VALIDATION_FAILED',
    `The request is not valid: ${problem.path} ${problem.message}.`,
    [problem],
  );
}
