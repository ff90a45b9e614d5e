import { Body, Controller, Get, Param, Post, Query } from '@nestjs/common';
import { ApiCreatedResponse, ApiOkResponse, ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import { type Caller, CallerParam } from '../http/caller.js';
import { ApiErrors } from '../http/errors.doc.js';
import { ScorerAnswers } from './scorer-answers.js';
import { RegisterScorerDto, ScorerQuery, ScorerVersionDto, ScorerVersionsDto } from './scorer.dto.js';

@ApiTags('scorers')
@Controller('api/v1/scorers')
export class ScorerController {
  constructor(private readonly scorers: ScorerAnswers) {}

  @Get()
  @ApiOperation({
    summary: 'List the scorers of an experiment',
    description: 'The latest version of each, by name.',
  })
  @ApiOkResponse({ description: 'The scorers.', type: ScorerVersionsDto })
  @ApiErrors('VALIDATION_FAILED', 'NOT_FOUND')
  list(@CallerParam() caller: Caller, @Query() query: ScorerQuery): Promise<ScorerVersionsDto> {
    return this.scorers.list(caller, query);
  }

  @Post()
  @ApiOperation({
    summary: 'Register a scorer',
    description: 'The same name again is its next version. Scorers are kept here, and run by their clients.',
  })
  @ApiCreatedResponse({ description: 'The version.', type: ScorerVersionDto })
  @ApiErrors('VALIDATION_FAILED', 'NOT_FOUND', 'DELETED')
  register(@CallerParam() caller: Caller, @Body() body: RegisterScorerDto): Promise<ScorerVersionDto> {
    return this.scorers.register(caller, body);
  }

  @Get(':name/versions')
  @ApiParam({ name: 'name', description: 'Name of the scorer.', example: 'is_short' })
  @ApiOperation({ summary: 'List the versions of a scorer', description: 'Ascending.' })
  @ApiOkResponse({ description: 'The versions.', type: ScorerVersionsDto })
  @ApiErrors('VALIDATION_FAILED', 'NOT_FOUND', 'DELETED')
  versions(
    @CallerParam() caller: Caller,
    @Param('name') name: string,
    @Query() query: ScorerQuery,
  ): Promise<ScorerVersionsDto> {
    return this.scorers.versions(caller, name, query);
  }
}
