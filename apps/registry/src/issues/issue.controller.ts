import { Body, Controller, Get, Param, Patch, Post, Query } from '@nestjs/common';
import { ApiCreatedResponse, ApiOkResponse, ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import { type Caller, CallerParam } from '../http/caller.js';
import { ApiErrors } from '../http/errors.doc.js';
import { ApiPage, type Page } from '../http/page.js';
import { IssueAnswers } from './issue-answers.js';
import { CreateIssueDto, IssueDto, ListIssuesQuery, UpdateIssueDto } from './issue.dto.js';

const ApiId = (): MethodDecorator =>
  ApiParam({ name: 'id', description: 'Id of the issue, a UUIDv7.', format: 'uuid' });

@ApiTags('issues')
@Controller('api/v1/issues')
export class IssueController {
  constructor(private readonly issues: IssueAnswers) {}

  @Post()
  @ApiOperation({
    summary: 'Report an issue',
    description: 'Something that goes wrong in traces: assessments of kind `issue` name it.',
  })
  @ApiCreatedResponse({ description: 'The issue.', type: IssueDto })
  @ApiErrors('VALIDATION_FAILED', 'NOT_FOUND', 'DELETED', 'REFERENCE_NOT_FOUND')
  create(@CallerParam() caller: Caller, @Body() body: CreateIssueDto): Promise<IssueDto> {
    return this.issues.create(caller, body);
  }

  @Get()
  @ApiOperation({ summary: 'List issues', description: 'The worst first, then the newest.' })
  @ApiPage(IssueDto, 'Issues, the worst first.')
  @ApiErrors('VALIDATION_FAILED', 'INVALID_CURSOR', 'NOT_FOUND')
  list(@CallerParam() caller: Caller, @Query() query: ListIssuesQuery): Promise<Page<IssueDto>> {
    return this.issues.list(caller, query);
  }

  @Get(':id')
  @ApiId()
  @ApiOperation({ summary: 'Get an issue' })
  @ApiOkResponse({ description: 'The issue.', type: IssueDto })
  @ApiErrors('NOT_FOUND')
  get(@CallerParam() caller: Caller, @Param('id') id: string): Promise<IssueDto> {
    return this.issues.get(caller, id);
  }

  @Patch(':id')
  @ApiId()
  @ApiOperation({ summary: 'Change an issue', description: 'For instance, say that it is resolved.' })
  @ApiOkResponse({ description: 'The issue.', type: IssueDto })
  @ApiErrors('VALIDATION_FAILED', 'NOT_FOUND')
  update(
    @CallerParam() caller: Caller,
    @Param('id') id: string,
    @Body() body: UpdateIssueDto,
  ): Promise<IssueDto> {
    return this.issues.update(caller, id, body);
  }
}
