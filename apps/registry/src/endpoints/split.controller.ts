import { Body, Controller, Get, HttpCode, Param, Post, Put, Query } from '@nestjs/common';
import { ApiExtraModels, ApiOkResponse, ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import { type Caller, CallerParam } from '../http/caller.js';
import { ApiErrors } from '../http/errors.doc.js';
import { ApiPage, PageQuery, type Page } from '../http/page.js';
import { SplitPreviewDto } from './split-preview.dto.js';
import {
  AssignmentDto,
  AssignmentQuery,
  PinnedChainDto,
  PutSplitDto,
  RollbackDto,
  SplitDto,
  SplitParams,
  SplitSummaryDto,
} from './split.dto.js';
import { SplitService } from './split.service.js';

const NameParam = (): MethodDecorator =>
  ApiParam({ name: 'name', description: 'Name of the endpoint.', example: 'support-bot' });

/** What a division can be refused for; the preview refuses what the PUT refuses. */
const PLAN_ERRORS = [
  'VALIDATION_FAILED',
  'INVALID_JSON',
  'NOT_FOUND',
  'ARCHIVED',
  'REVISION_CONFLICT',
  'REFERENCE_NOT_FOUND',
  'REFERENCE_ARCHIVED',
  'NOT_CLEARED',
  'DIGEST_MISMATCH',
] as const;

@ApiTags('splits')
@ApiExtraModels(PinnedChainDto)
@Controller('api/v1/endpoints/:name')
export class SplitController {
  constructor(private readonly service: SplitService) {}

  @Put('split')
  @NameParam()
  @ApiOperation({
    summary: 'Divide the traffic of an endpoint',
    description:
      'Makes a new immutable revision, derived from the one in force by moving the fewest buckets possible. Chains are pinned. Shadows get copies of requests and answer nobody. Gateways follow within a moment.',
  })
  @ApiOkResponse({ description: 'The split now in force.', type: SplitDto })
  @ApiErrors(...PLAN_ERRORS)
  put(
    @CallerParam() caller: Caller,
    @Param('name') name: string,
    @Body() body: PutSplitDto,
  ): Promise<SplitDto> {
    return this.service.put(caller, name, body);
  }

  @Post('split/preview')
  @HttpCode(200)
  @NameParam()
  @ApiOperation({
    summary: 'Say who would move, and change nothing',
    description: 'Takes what the PUT takes, and refuses what it refuses.',
  })
  @ApiOkResponse({ description: 'What the PUT would do.', type: SplitPreviewDto })
  @ApiErrors(...PLAN_ERRORS)
  preview(
    @CallerParam() caller: Caller,
    @Param('name') name: string,
    @Body() body: PutSplitDto,
  ): Promise<SplitPreviewDto> {
    return this.service.preview(caller, name, body);
  }

  @Post('split/rollback')
  @HttpCode(200)
  @NameParam()
  @ApiOperation({
    summary: 'Put an earlier split in force again',
    description:
      'A new revision with exactly the arms, ranges, salt, overrides and shadows of the earlier one: every unit returns to the arm it had. Shadows that cannot run any more do not stop it; gateways drop their copies.',
  })
  @ApiOkResponse({ description: 'The split now in force.', type: SplitDto })
  @ApiErrors(
    'VALIDATION_FAILED',
    'INVALID_JSON',
    'NOT_FOUND',
    'ARCHIVED',
    'REVISION_CONFLICT',
    'REFERENCE_NOT_FOUND',
    'REFERENCE_ARCHIVED',
    'NOT_CLEARED',
  )
  rollback(
    @CallerParam() caller: Caller,
    @Param('name') name: string,
    @Body() body: RollbackDto,
  ): Promise<SplitDto> {
    return this.service.rollback(caller, name, body);
  }

  @Get('splits')
  @NameParam()
  @ApiOperation({
    summary: 'List the splits of an endpoint',
    description: 'Newest first, without overrides.',
  })
  @ApiPage(SplitSummaryDto, 'Revisions, newest first.')
  @ApiErrors('VALIDATION_FAILED', 'INVALID_CURSOR', 'NOT_FOUND')
  list(
    @CallerParam() caller: Caller,
    @Param('name') name: string,
    @Query() query: PageQuery,
  ): Promise<Page<SplitSummaryDto>> {
    return this.service.list(caller, name, query);
  }

  @Get('splits/:revision')
  @ApiOperation({ summary: 'Get one revision of the split' })
  @ApiOkResponse({ description: 'The revision, with its overrides.', type: SplitDto })
  @ApiErrors('VALIDATION_FAILED', 'NOT_FOUND')
  get(@CallerParam() caller: Caller, @Param() { name, revision }: SplitParams): Promise<SplitDto> {
    return this.service.get(caller, name, revision);
  }

  @Get('assignment')
  @NameParam()
  @ApiOperation({
    summary: 'Where does the split in force send a unit?',
    description: 'For debugging. Applications ask the gateway: GET /v1/resolve/{endpoint}.',
  })
  @ApiOkResponse({ description: 'Bucket, arm and chain version of the unit.', type: AssignmentDto })
  @ApiErrors('VALIDATION_FAILED', 'NOT_FOUND')
  assign(
    @CallerParam() caller: Caller,
    @Param('name') name: string,
    @Query() query: AssignmentQuery,
  ): Promise<AssignmentDto> {
    return this.service.assign(caller, name, query.unit);
  }
}
