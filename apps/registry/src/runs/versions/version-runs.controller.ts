import { Controller, Get, Param, Query, type Type } from '@nestjs/common';
import { ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import type { Kind } from '#libs/core/content/schemas.js';
import { capitalised, named, PLURAL } from '../../entries/kind.js';
import { VersionNumber } from '../../entries/versions/version-number.js';
import { CallerParam, type Caller } from '../../http/caller.js';
import { ApiErrors } from '../../http/errors.doc.js';
import { ApiPage, PageQuery, type Page } from '../../http/page.js';
import { RunWithMetricsDto } from '../run.dto.js';
import { VersionRuns } from './version-runs.service.js';

/** The runs of the versions of one kind. */
export function versionRunsController(kind: Kind): Type {
  @ApiTags(PLURAL[kind])
  @Controller(`api/v1/${PLURAL[kind]}/:name/versions/:number/runs`)
  class VersionRunsController {
    constructor(private readonly runs: VersionRuns) {}

    @Get()
    @ApiOperation({
      summary: `List the runs that evaluated a version of a ${kind}`,
      description: 'Newest first, with the latest value of every metric.',
    })
    @ApiParam({ name: 'name', description: `Name of the ${kind}.`, example: 'support-reply' })
    @ApiParam({
      name: 'number',
      description: 'Number of the version.',
      schema: { type: 'integer', minimum: 1, example: 1 },
    })
    @ApiPage(RunWithMetricsDto, 'Runs, newest first.')
    @ApiErrors('VALIDATION_FAILED', 'INVALID_CURSOR', 'NOT_FOUND')
    list(
      @CallerParam() caller: Caller,
      @Param('name') name: string,
      @VersionNumber() number: number,
      @Query() query: PageQuery,
    ): Promise<Page<RunWithMetricsDto>> {
      return this.runs.list(caller, kind, name, number, query);
    }
  }
  return named(VersionRunsController, `${capitalised(kind)}VersionRunsController`);
}
