import { Body, Controller, Get, HttpCode, Param, Post, Query } from '@nestjs/common';
import { ApiNoContentResponse, ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { type Caller, CallerParam } from '../http/caller.js';
import { ApiErrors } from '../http/errors.doc.js';
import {
  DatasetsQuery,
  DatasetSummariesDto,
  LogInputsDto,
  RunInputsDto,
  RunInputsParams,
} from './dataset.dto.js';
import { RunInputs } from './run-inputs.service.js';

@ApiTags('runs')
@Controller('api/v1')
export class DatasetController {
  constructor(private readonly inputs: RunInputs) {}

  @Post('runs/:id/inputs')
  @HttpCode(204)
  @ApiOperation({
    summary: 'Log what went into a run, and which logged models came out',
    description: 'All or nothing. What is there already stays as it is, so that the call may be repeated.',
  })
  @ApiNoContentResponse({ description: 'Written.' })
  @ApiErrors(
    'VALIDATION_FAILED',
    'INVALID_JSON',
    'NOT_FOUND',
    'DELETED',
    'REFERENCE_NOT_FOUND',
    'PAYLOAD_TOO_LARGE',
  )
  log(
    @CallerParam() caller: Caller,
    @Param() params: RunInputsParams,
    @Body() body: LogInputsDto,
  ): Promise<void> {
    return this.inputs.log(caller, params.id, body);
  }

  @Get('runs/:id/inputs')
  @ApiOperation({ summary: 'Get what went into a run, and which logged models came out' })
  @ApiOkResponse({ description: 'Datasets and logged models.', type: RunInputsDto })
  @ApiErrors('VALIDATION_FAILED', 'NOT_FOUND')
  get(@CallerParam() caller: Caller, @Param() params: RunInputsParams): Promise<RunInputsDto> {
    return this.inputs.get(caller, params.id);
  }

  @Get('datasets')
  @ApiOperation({ summary: 'List the datasets that runs of some experiments used' })
  @ApiOkResponse({ description: 'In order of experiments, names and digests.', type: DatasetSummariesDto })
  @ApiErrors('VALIDATION_FAILED')
  list(@CallerParam() caller: Caller, @Query() query: DatasetsQuery): Promise<DatasetSummariesDto> {
    return this.inputs.summarize(caller, query.experiments.map(Number)).then((items) => ({ items }));
  }
}
