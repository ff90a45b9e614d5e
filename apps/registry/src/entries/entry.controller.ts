import { Body, Controller, Get, HttpCode, Param, Patch, Post, Query, type Type } from '@nestjs/common';
import { ApiBody, ApiCreatedResponse, ApiOkResponse, ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import type { Kind } from '#libs/core/content/schemas.js';
import { CallerParam, type Caller } from '../http/caller.js';
import { ApiErrors } from '../http/errors.doc.js';
import { ApiPage, type Page } from '../http/page.js';
import { DiffDto, DiffQuery } from './diff/diff.dto.js';
import { DiffService } from './diff/diff.service.js';
import {
  CREATE_ENTRY_DTOS,
  CreateEntryDto,
  EntryDto,
  ListEntriesQuery,
  UpdateEntryDto,
} from './entry.dto.js';
import { EntryService } from './entry.service.js';
import { capitalised, named, PLURAL } from './kind.js';

/** The routes of the entries of one kind. */
export function entryController(kind: Kind): Type {
  const ApiName = () =>
    ApiParam({ name: 'name', description: `Name of the ${kind}.`, example: 'support-reply' });

  @ApiTags(PLURAL[kind])
  @Controller(`api/v1/${PLURAL[kind]}`)
  class EntryController {
    constructor(
      private readonly entries: EntryService,
      private readonly diffs: DiffService,
    ) {}

    @Post()
    @ApiOperation({
      summary: `Create a ${kind}`,
      description: 'Only the name; its content comes with its first version.',
    })
    @ApiBody({ type: CREATE_ENTRY_DTOS[kind] })
    @ApiCreatedResponse({ description: 'Created.', type: EntryDto })
    @ApiErrors(
      'VALIDATION_FAILED',
      'INVALID_JSON',
      'ALREADY_EXISTS',
      'PAYLOAD_TOO_LARGE',
      'UNSUPPORTED_MEDIA_TYPE',
    )
    create(@CallerParam() caller: Caller, @Body() body: CreateEntryDto): Promise<EntryDto> {
      return this.entries.create(caller, kind, body);
    }

    @Get()
    @ApiOperation({
      summary: `List or search ${PLURAL[kind]}`,
      description: 'In order of names. All filters must hold.',
    })
    @ApiPage(EntryDto, 'A page.')
    @ApiErrors('VALIDATION_FAILED', 'INVALID_CURSOR')
    list(@CallerParam() caller: Caller, @Query() query: ListEntriesQuery): Promise<Page<EntryDto>> {
      return this.entries.list(caller, kind, query);
    }

    @Get(':name')
    @ApiOperation({ summary: `Get a ${kind}` })
    @ApiName()
    @ApiOkResponse({ description: 'Found.', type: EntryDto })
    @ApiErrors('NOT_FOUND')
    get(@CallerParam() caller: Caller, @Param('name') name: string): Promise<EntryDto> {
      return this.entries.get(caller, kind, name);
    }

    @Patch(':name')
    @ApiOperation({
      summary: `Change the description or tags of a ${kind}`,
      description: kind === 'model' ? 'Or its name, while no chain pins one of its versions.' : '',
    })
    @ApiName()
    @ApiOkResponse({ description: 'Changed.', type: EntryDto })
    @ApiErrors(
      'VALIDATION_FAILED',
      'INVALID_JSON',
      'NOT_FOUND',
      ...(kind === 'model' ? (['ALREADY_EXISTS', 'IN_USE'] as const) : []),
      'PAYLOAD_TOO_LARGE',
      'UNSUPPORTED_MEDIA_TYPE',
    )
    update(
      @CallerParam() caller: Caller,
      @Param('name') name: string,
      @Body() body: UpdateEntryDto,
    ): Promise<EntryDto> {
      return this.entries.update(caller, kind, name, body);
    }

    @Post(':name/archive')
    @HttpCode(200)
    @ApiOperation({
      summary: `Archive a ${kind}`,
      description:
        'It leaves the lists and takes no new versions; nothing is deleted, and what is pinned to it goes on working.',
    })
    @ApiName()
    @ApiOkResponse({ description: 'Archived, now or before.', type: EntryDto })
    @ApiErrors('NOT_FOUND')
    archive(@CallerParam() caller: Caller, @Param('name') name: string): Promise<EntryDto> {
      return this.entries.archive(caller, kind, name);
    }

    @Post(':name/restore')
    @HttpCode(200)
    @ApiOperation({ summary: `Restore an archived ${kind}` })
    @ApiName()
    @ApiOkResponse({ description: 'In use.', type: EntryDto })
    @ApiErrors('NOT_FOUND')
    restore(@CallerParam() caller: Caller, @Param('name') name: string): Promise<EntryDto> {
      return this.entries.restore(caller, kind, name);
    }

    @Get(':name/diff')
    @ApiOperation({
      summary: `Compare two versions of a ${kind}`,
      description: 'Value by value, and inside of long texts.',
    })
    @ApiName()
    @ApiOkResponse({ description: 'What differs.', type: DiffDto })
    @ApiErrors('VALIDATION_FAILED', 'NOT_FOUND')
    diff(
      @CallerParam() caller: Caller,
      @Param('name') name: string,
      @Query() query: DiffQuery,
    ): Promise<DiffDto> {
      return this.diffs.get(caller, kind, name, query);
    }
  }
  return named(EntryController, `${capitalised(kind)}sController`);
}
