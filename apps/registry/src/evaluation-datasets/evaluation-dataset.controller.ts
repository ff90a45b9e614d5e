import { Body, Controller, Delete, Get, HttpCode, Param, Patch, Post, Query } from '@nestjs/common';
import {
  ApiCreatedResponse,
  ApiNoContentResponse,
  ApiOkResponse,
  ApiOperation,
  ApiParam,
  ApiTags,
} from '@nestjs/swagger';
import { type Caller, CallerParam } from '../http/caller.js';
import { ApiErrors } from '../http/errors.doc.js';
import { ApiPage, PageQuery, type Page } from '../http/page.js';
import { DatasetAnswers } from './dataset-answers.js';
import {
  CreateEvaluationDatasetDto,
  DatasetRecordDto,
  EvaluationDatasetDto,
  ListEvaluationDatasetsQuery,
  UpdateEvaluationDatasetDto,
  UpsertedRecordsDto,
  UpsertRecordsDto,
} from './evaluation-dataset.dto.js';
import { EvaluationDatasetService } from './evaluation-dataset.service.js';

const ApiId = (): MethodDecorator =>
  ApiParam({ name: 'id', description: 'Id of the evaluation dataset, a UUIDv7.', format: 'uuid' });

@ApiTags('evaluation datasets')
@Controller('api/v1/evaluation-datasets')
export class EvaluationDatasetController {
  constructor(
    private readonly answers: DatasetAnswers,
    private readonly datasets: EvaluationDatasetService,
  ) {}

  @Post()
  @ApiOperation({ summary: 'Create an evaluation dataset', description: 'Empty; records are added to it.' })
  @ApiCreatedResponse({ description: 'The dataset.', type: EvaluationDatasetDto })
  @ApiErrors('VALIDATION_FAILED', 'NOT_FOUND')
  create(
    @CallerParam() caller: Caller,
    @Body() body: CreateEvaluationDatasetDto,
  ): Promise<EvaluationDatasetDto> {
    return this.answers.create(caller, body);
  }

  @Get()
  @ApiOperation({ summary: 'List evaluation datasets', description: 'Newest first.' })
  @ApiPage(EvaluationDatasetDto, 'Datasets, newest first.')
  @ApiErrors('VALIDATION_FAILED', 'INVALID_CURSOR', 'NOT_FOUND')
  list(
    @CallerParam() caller: Caller,
    @Query() query: ListEvaluationDatasetsQuery,
  ): Promise<Page<EvaluationDatasetDto>> {
    return this.answers.list(caller, query);
  }

  @Get(':id')
  @ApiId()
  @ApiOperation({ summary: 'Get an evaluation dataset' })
  @ApiOkResponse({ description: 'The dataset.', type: EvaluationDatasetDto })
  @ApiErrors('NOT_FOUND')
  get(@CallerParam() caller: Caller, @Param('id') id: string): Promise<EvaluationDatasetDto> {
    return this.answers.get(caller, id);
  }

  @Patch(':id')
  @ApiId()
  @ApiOperation({ summary: 'Change the tags of an evaluation dataset' })
  @ApiOkResponse({ description: 'The dataset.', type: EvaluationDatasetDto })
  @ApiErrors('VALIDATION_FAILED', 'NOT_FOUND')
  update(
    @CallerParam() caller: Caller,
    @Param('id') id: string,
    @Body() body: UpdateEvaluationDatasetDto,
  ): Promise<EvaluationDatasetDto> {
    return this.answers.update(caller, id, body);
  }

  @Delete(':id')
  @HttpCode(204)
  @ApiId()
  @ApiOperation({ summary: 'Delete an evaluation dataset', description: 'With its records, for good.' })
  @ApiNoContentResponse({ description: 'It is gone.' })
  @ApiErrors('NOT_FOUND')
  delete(@CallerParam() caller: Caller, @Param('id') id: string): Promise<void> {
    return this.datasets.delete(caller, id);
  }

  @Get(':id/records')
  @ApiId()
  @ApiOperation({
    summary: 'List the records of an evaluation dataset',
    description: 'In order of creation.',
  })
  @ApiPage(DatasetRecordDto, 'Records, oldest first.')
  @ApiErrors('VALIDATION_FAILED', 'INVALID_CURSOR', 'NOT_FOUND')
  listRecords(
    @CallerParam() caller: Caller,
    @Param('id') id: string,
    @Query() query: PageQuery,
  ): Promise<Page<DatasetRecordDto>> {
    return this.answers.listRecords(caller, id, query);
  }

  @Post(':id/records')
  @HttpCode(200)
  @ApiId()
  @ApiOperation({
    summary: 'Add or change records of an evaluation dataset',
    description: 'All or none. The same inputs again change the record that has them.',
  })
  @ApiOkResponse({ description: 'What was done.', type: UpsertedRecordsDto })
  @ApiErrors('VALIDATION_FAILED', 'NOT_FOUND')
  upsertRecords(
    @CallerParam() caller: Caller,
    @Param('id') id: string,
    @Body() body: UpsertRecordsDto,
  ): Promise<UpsertedRecordsDto> {
    return this.answers.upsertRecords(caller, id, body);
  }
}
