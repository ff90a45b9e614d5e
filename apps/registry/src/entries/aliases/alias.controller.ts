import { Body, Controller, Delete, Get, Param, Put, Query, type Type } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import { ALIAS_PATTERN, type Kind } from '#libs/core/content/schemas.js';
import { CallerParam, type Caller } from '../../http/caller.js';
import { ApiErrors } from '../../http/errors.doc.js';
import { ApiPage, PageQuery, type Page } from '../../http/page.js';
import { AliasDto, AliasMoveDto, MoveAliasDto, RemoveAliasQuery } from './alias.dto.js';
import { AliasService } from './alias.service.js';
import { capitalised, named, PLURAL } from '../kind.js';

/** The routes of the aliases of one kind. */
export function aliasController(kind: Kind): Type {
  const ApiName = () =>
    ApiParam({ name: 'name', description: `Name of the ${kind}.`, example: 'support-reply' });
  const ApiAlias = () =>
    ApiParam({
      name: 'alias',
      description: 'The alias. Never a bare number, so that name@3 is always a version.',
      // Beside a schema Nest drops an `example` of the parameter.
      schema: { type: 'string', pattern: ALIAS_PATTERN, example: 'champion' },
    });

  @ApiTags(PLURAL[kind])
  @Controller(`api/v1/${PLURAL[kind]}/:name/aliases`)
  class AliasController {
    constructor(private readonly aliases: AliasService) {}

    @Get()
    @ApiOperation({ summary: `List the aliases of a ${kind}`, description: 'In order of names.' })
    @ApiName()
    @ApiPage(AliasDto, 'A page.')
    @ApiErrors('VALIDATION_FAILED', 'INVALID_CURSOR', 'NOT_FOUND')
    list(
      @CallerParam() caller: Caller,
      @Param('name') name: string,
      @Query() query: PageQuery,
    ): Promise<Page<AliasDto>> {
      return this.aliases.list(caller, kind, name, query);
    }

    @Get(':alias')
    @ApiOperation({ summary: `Get an alias of a ${kind}` })
    @ApiName()
    @ApiAlias()
    @ApiOkResponse({ description: 'Found.', type: AliasDto })
    @ApiErrors('NOT_FOUND')
    get(
      @CallerParam() caller: Caller,
      @Param('name') name: string,
      @Param('alias') alias: string,
    ): Promise<AliasDto> {
      return this.aliases.get(caller, kind, name, alias);
    }

    @Put(':alias')
    @ApiOperation({
      summary: `Point an alias of a ${kind} at a version`,
      description:
        'Creates the alias where needed. Every move is logged with who and why; `expectedRevision` makes it a compare-and-set.',
    })
    @ApiName()
    @ApiAlias()
    @ApiOkResponse({ description: 'Moved.', type: AliasDto })
    @ApiErrors(
      'VALIDATION_FAILED',
      'INVALID_JSON',
      'NOT_FOUND',
      'ARCHIVED',
      'REVISION_CONFLICT',
      'REFERENCE_NOT_FOUND',
      'REFERENCE_ARCHIVED',
      'PAYLOAD_TOO_LARGE',
      'UNSUPPORTED_MEDIA_TYPE',
    )
    move(
      @CallerParam() caller: Caller,
      @Param('name') name: string,
      @Param('alias') alias: string,
      @Body() body: MoveAliasDto,
    ): Promise<AliasDto> {
      return this.aliases.move(caller, kind, name, alias, body);
    }

    @Delete(':alias')
    @ApiOperation({
      summary: `Remove an alias of a ${kind}`,
      description: 'Logged as a move to nothing. Its revision and log stay, and go on if it is set again.',
    })
    @ApiName()
    @ApiAlias()
    @ApiOkResponse({ description: 'Removed.', type: AliasDto })
    @ApiErrors('VALIDATION_FAILED', 'NOT_FOUND', 'REVISION_CONFLICT')
    remove(
      @CallerParam() caller: Caller,
      @Param('name') name: string,
      @Param('alias') alias: string,
      @Query() query: RemoveAliasQuery,
    ): Promise<AliasDto> {
      return this.aliases.remove(caller, kind, name, alias, query);
    }

    @Get(':alias/moves')
    @ApiOperation({
      summary: `List the moves of an alias of a ${kind}`,
      description: 'The append-only log, newest first. It outlives the alias.',
    })
    @ApiName()
    @ApiAlias()
    @ApiPage(AliasMoveDto, 'A page.')
    @ApiErrors('VALIDATION_FAILED', 'INVALID_CURSOR', 'NOT_FOUND')
    listMoves(
      @CallerParam() caller: Caller,
      @Param('name') name: string,
      @Param('alias') alias: string,
      @Query() query: PageQuery,
    ): Promise<Page<AliasMoveDto>> {
      return this.aliases.listMoves(caller, kind, name, alias, query);
    }
  }
  return named(AliasController, `${capitalised(kind)}AliasesController`);
}
