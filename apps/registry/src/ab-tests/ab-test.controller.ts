import { Body, Controller, Get, HttpCode, Param, Patch, Post, Query } from '@nestjs/common';
import { ApiCreatedResponse, ApiOkResponse, ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import { type Caller, CallerParam } from '../http/caller.js';
import { ApiErrors } from '../http/errors.doc.js';
import { ApiPage, type Page } from '../http/page.js';
import {
  AbTestDto,
  AbTestQuery,
  CreateAbTestDto,
  DecideAbTestDto,
  StopAbTestDto,
  UpdateAbTestDto,
} from './ab-test.dto.js';
import { AbTestResultsDto, ResultsQuery } from './ab-test-results.dto.js';
import { AbTestResultsService } from './ab-test-results.service.js';
import { AbTestService } from './ab-test.service.js';
import { PowerDto, PowerInput } from './power.dto.js';
import { PowerService } from './power.service.js';

const NameParam = (): MethodDecorator =>
  ApiParam({ name: 'name', description: 'Name of the endpoint.', example: 'support-bot' });
const IdParam = (): MethodDecorator =>
  ApiParam({ name: 'id', description: 'Id of the test.', example: '019c0f3e-5b7a-7c7e-9f0e-3a5d2f6b8c11' });

@ApiTags('ab-tests')
@Controller('api/v1/endpoints/:name/ab-tests')
export class AbTestController {
  constructor(
    private readonly service: AbTestService,
    private readonly readings: AbTestResultsService,
    private readonly power: PowerService,
  ) {}

  @Post()
  @NameParam()
  @ApiOperation({
    summary: 'Draft an A/B test',
    description:
      'Held against the arms of the split in force. Nothing is counted before it is started; until then everything about it can change.',
  })
  @ApiCreatedResponse({ description: 'The draft.', type: AbTestDto })
  @ApiErrors('VALIDATION_FAILED', 'INVALID_JSON', 'NOT_FOUND', 'ARCHIVED')
  create(
    @CallerParam() caller: Caller,
    @Param('name') name: string,
    @Body() body: CreateAbTestDto,
  ): Promise<AbTestDto> {
    return this.service.create(caller, name, body);
  }

  @Post('power')
  @HttpCode(200)
  @NameParam()
  @ApiOperation({
    summary: 'Say how many units and days an A/B test would need',
    description: 'From what the units of the endpoint did in the last days. Changes nothing.',
  })
  @ApiOkResponse({ description: 'Units and days.', type: PowerDto })
  @ApiErrors('VALIDATION_FAILED', 'INVALID_JSON', 'NOT_FOUND', 'SEARCH_TOO_SLOW')
  plan(
    @CallerParam() caller: Caller,
    @Param('name') name: string,
    @Body() body: PowerInput,
  ): Promise<PowerDto> {
    return this.power.plan(caller, name, body);
  }

  @Get()
  @NameParam()
  @ApiOperation({ summary: 'List the A/B tests of an endpoint', description: 'Newest first.' })
  @ApiPage(AbTestDto, 'Tests, newest first.')
  @ApiErrors('VALIDATION_FAILED', 'INVALID_CURSOR', 'NOT_FOUND')
  list(
    @CallerParam() caller: Caller,
    @Param('name') name: string,
    @Query() query: AbTestQuery,
  ): Promise<Page<AbTestDto>> {
    return this.service.list(caller, name, query);
  }

  @Get(':id')
  @NameParam()
  @IdParam()
  @ApiOperation({ summary: 'Get an A/B test' })
  @ApiOkResponse({ description: 'The test.', type: AbTestDto })
  @ApiErrors('NOT_FOUND')
  get(
    @CallerParam() caller: Caller,
    @Param('name') name: string,
    @Param('id') id: string,
  ): Promise<AbTestDto> {
    return this.service.get(caller, name, id);
  }

  @Get(':id/results')
  @NameParam()
  @IdParam()
  @ApiOperation({
    summary: 'Read the results of an A/B test',
    description:
      'Figures of all arms, differences to control, sample ratio, decision and phases, from sums that follow the rows. Safe to read as often as one likes.',
  })
  @ApiOkResponse({ description: 'The results so far.', type: AbTestResultsDto })
  @ApiErrors('VALIDATION_FAILED', 'NOT_FOUND')
  results(
    @CallerParam() caller: Caller,
    @Param('name') name: string,
    @Param('id') id: string,
    @Query() query: ResultsQuery,
  ): Promise<AbTestResultsDto> {
    return this.readings.read(caller, name, id, query);
  }

  @Patch(':id')
  @NameParam()
  @IdParam()
  @ApiOperation({
    summary: 'Change a draft',
    description: 'Absent fields stay as they are. What a test is judged by is fixed when it starts.',
  })
  @ApiOkResponse({ description: 'The draft as it is now.', type: AbTestDto })
  @ApiErrors('VALIDATION_FAILED', 'INVALID_JSON', 'NOT_FOUND', 'IMMUTABLE')
  update(
    @CallerParam() caller: Caller,
    @Param('name') name: string,
    @Param('id') id: string,
    @Body() body: UpdateAbTestDto,
  ): Promise<AbTestDto> {
    return this.service.update(caller, name, id, body);
  }

  @Post(':id/start')
  @HttpCode(200)
  @NameParam()
  @IdParam()
  @ApiOperation({
    summary: 'Start an A/B test',
    description:
      'From now on rows of the split in force count, and of every split after it: each is a phase of its own.',
  })
  @ApiOkResponse({ description: 'It runs.', type: AbTestDto })
  @ApiErrors('VALIDATION_FAILED', 'NOT_FOUND', 'ARCHIVED', 'IMMUTABLE', 'IN_USE')
  start(
    @CallerParam() caller: Caller,
    @Param('name') name: string,
    @Param('id') id: string,
  ): Promise<AbTestDto> {
    return this.service.start(caller, name, id);
  }

  @Post(':id/stop')
  @HttpCode(200)
  @NameParam()
  @IdParam()
  @ApiOperation({
    summary: 'Stop an A/B test and leave the split as it is',
    description: 'Rows that were made before and come later still count, and so does feedback on them.',
  })
  @ApiOkResponse({ description: 'It has ended.', type: AbTestDto })
  @ApiErrors('VALIDATION_FAILED', 'INVALID_JSON', 'NOT_FOUND', 'IMMUTABLE')
  stop(
    @CallerParam() caller: Caller,
    @Param('name') name: string,
    @Param('id') id: string,
    @Body() body: StopAbTestDto,
  ): Promise<AbTestDto> {
    return this.service.stop(caller, name, id, body);
  }

  @Post(':id/decide')
  @HttpCode(200)
  @NameParam()
  @IdParam()
  @ApiOperation({
    summary: 'Ship a treatment, or go back to control',
    description:
      'One new revision of the split sends all traffic to that arm, and the test ends if it still runs: both, or neither.',
  })
  @ApiOkResponse({ description: 'It is decided.', type: AbTestDto })
  @ApiErrors(
    'VALIDATION_FAILED',
    'INVALID_JSON',
    'NOT_FOUND',
    'ARCHIVED',
    'IMMUTABLE',
    'IN_USE',
    'REVISION_CONFLICT',
    'REFERENCE_NOT_FOUND',
    'REFERENCE_ARCHIVED',
    'NOT_CLEARED',
  )
  decide(
    @CallerParam() caller: Caller,
    @Param('name') name: string,
    @Param('id') id: string,
    @Body() body: DecideAbTestDto,
  ): Promise<AbTestDto> {
    return this.service.decide(caller, name, id, body);
  }
}
