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
import { ApiPage, type Page } from '../http/page.js';
import { LabelSchemaAnswers } from './label-schema-answers.js';
import {
  CreateLabelSchemaDto,
  LabelSchemaDto,
  ListLabelSchemasQuery,
  UpdateLabelSchemaDto,
} from './label-schema.dto.js';
import { LabelSchemaService } from './label-schema.service.js';

const ApiId = (): MethodDecorator =>
  ApiParam({ name: 'id', description: 'Id of the label schema, a UUIDv7.', format: 'uuid' });

@ApiTags('label schemas')
@Controller('api/v1/label-schemas')
export class LabelSchemaController {
  constructor(
    private readonly answers: LabelSchemaAnswers,
    private readonly schemas: LabelSchemaService,
  ) {}

  @Post()
  @ApiOperation({
    summary: 'Make a label schema',
    description: 'A question that reviewers of traces answer, and how.',
  })
  @ApiCreatedResponse({ description: 'The label schema.', type: LabelSchemaDto })
  @ApiErrors('VALIDATION_FAILED', 'NOT_FOUND', 'DELETED', 'ALREADY_EXISTS')
  create(@CallerParam() caller: Caller, @Body() body: CreateLabelSchemaDto): Promise<LabelSchemaDto> {
    return this.answers.create(caller, body);
  }

  @Get()
  @ApiOperation({
    summary: 'List the label schemas of an experiment',
    description: 'Newest first. One of them, "Feedback", every experiment has.',
  })
  @ApiPage(LabelSchemaDto, 'Label schemas, newest first.')
  @ApiErrors('VALIDATION_FAILED', 'INVALID_CURSOR', 'NOT_FOUND', 'DELETED')
  list(@CallerParam() caller: Caller, @Query() query: ListLabelSchemasQuery): Promise<Page<LabelSchemaDto>> {
    return this.answers.list(caller, query);
  }

  @Get(':id')
  @ApiId()
  @ApiOperation({ summary: 'Get a label schema' })
  @ApiOkResponse({ description: 'The label schema.', type: LabelSchemaDto })
  @ApiErrors('NOT_FOUND')
  get(@CallerParam() caller: Caller, @Param('id') id: string): Promise<LabelSchemaDto> {
    return this.answers.get(caller, id);
  }

  @Patch(':id')
  @ApiId()
  @ApiOperation({
    summary: 'Change a label schema',
    description: 'But not the kind of its input: answers that were given must go on fitting.',
  })
  @ApiOkResponse({ description: 'The label schema.', type: LabelSchemaDto })
  @ApiErrors('VALIDATION_FAILED', 'NOT_FOUND', 'ALREADY_EXISTS', 'IMMUTABLE')
  update(
    @CallerParam() caller: Caller,
    @Param('id') id: string,
    @Body() body: UpdateLabelSchemaDto,
  ): Promise<LabelSchemaDto> {
    return this.answers.update(caller, id, body);
  }

  @Delete(':id')
  @HttpCode(204)
  @ApiId()
  @ApiOperation({ summary: 'Delete a label schema', description: 'Answers that it asked for stay.' })
  @ApiNoContentResponse({ description: 'It is gone.' })
  @ApiErrors('NOT_FOUND', 'IMMUTABLE')
  delete(@CallerParam() caller: Caller, @Param('id') id: string): Promise<void> {
    return this.schemas.delete(caller, id);
  }
}
