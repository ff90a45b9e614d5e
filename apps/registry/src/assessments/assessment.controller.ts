import { Body, Controller, Delete, Get, HttpCode, Param, Patch, Post } from '@nestjs/common';
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
import { AssessmentAnswers } from './assessment-answers.js';
import { AssessmentDto, AssessmentsDto, CreateAssessmentDto, UpdateAssessmentDto } from './assessment.dto.js';
import { AssessmentService } from './assessment.service.js';

@ApiTags('traces')
@ApiParam({ name: 'traceId', description: 'Id of the trace, as its client made it.' })
@Controller('api/v1/traces/:traceId/assessments')
export class AssessmentController {
  constructor(
    private readonly answers: AssessmentAnswers,
    private readonly assessments: AssessmentService,
  ) {}

  @Get()
  @ApiOperation({ summary: 'List the assessments of a trace', description: 'All of them, in order of time.' })
  @ApiOkResponse({ description: 'The assessments.', type: AssessmentsDto })
  @ApiErrors('NOT_FOUND')
  list(@CallerParam() caller: Caller, @Param('traceId') traceId: string): Promise<AssessmentsDto> {
    return this.answers.list(caller, traceId);
  }

  @Post()
  @ApiOperation({
    summary: 'Assess a trace',
    description: 'Or one of its spans: feedback, or an expectation.',
  })
  @ApiCreatedResponse({ description: 'The assessment.', type: AssessmentDto })
  @ApiErrors('VALIDATION_FAILED', 'NOT_FOUND')
  create(
    @CallerParam() caller: Caller,
    @Param('traceId') traceId: string,
    @Body() body: CreateAssessmentDto,
  ): Promise<AssessmentDto> {
    return this.answers.create(caller, traceId, body);
  }

  @Patch(':id')
  @ApiParam({ name: 'id', description: 'Id of the assessment.' })
  @ApiOperation({ summary: 'Change an assessment', description: 'Its kind, source and span stay.' })
  @ApiOkResponse({ description: 'The assessment.', type: AssessmentDto })
  @ApiErrors('VALIDATION_FAILED', 'NOT_FOUND')
  update(
    @CallerParam() caller: Caller,
    @Param('traceId') traceId: string,
    @Param('id') id: string,
    @Body() body: UpdateAssessmentDto,
  ): Promise<AssessmentDto> {
    return this.answers.update(caller, traceId, id, body);
  }

  @Delete(':id')
  @HttpCode(204)
  @ApiParam({ name: 'id', description: 'Id of the assessment.' })
  @ApiOperation({ summary: 'Delete an assessment', description: 'What it overrode becomes valid again.' })
  @ApiNoContentResponse({ description: 'It is gone.' })
  @ApiErrors('NOT_FOUND')
  delete(
    @CallerParam() caller: Caller,
    @Param('traceId') traceId: string,
    @Param('id') id: string,
  ): Promise<void> {
    return this.assessments.delete(caller, traceId, id);
  }
}
