import { Body, Controller, Get, HttpCode, Param, Patch, Post, Query, Res, type Type } from '@nestjs/common';
import { ApiBody, ApiCreatedResponse, ApiOkResponse, ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import type { Response } from 'express';
import type { Kind } from '#libs/core/content/schemas.js';
import { CallerParam, type Caller } from '../../http/caller.js';
import { ApiErrors } from '../../http/errors.doc.js';
import { ApiPage, PageQuery, type Page } from '../../http/page.js';
import { contentSchemaRef } from '../schemas/content-docs.js';
import { capitalised, named, PLURAL } from '../kind.js';
import {
  ListVersionsQuery,
  RegisterVersionDto,
  UpdateVersionDto,
  VERSION_DTOS,
  VersionSummaryDto,
  VersionUseDto,
  type VersionDto,
} from './version.dto.js';
import { VersionReader, type StoredContent } from './version.reader.js';
import { VersionService, type Registered } from './version.service.js';
import { VersionNoteService } from './version-note.service.js';
import { VersionNumber } from './version-number.js';

/** The routes of the versions of one kind. */
export function versionController(kind: Kind): Type {
  const dtos = VERSION_DTOS[kind];
  const ApiName = () =>
    ApiParam({ name: 'name', description: `Name of the ${kind}.`, example: 'support-reply' });
  const ApiNumber = () =>
    ApiParam({
      name: 'number',
      description: 'Number of the version.',
      // Beside a schema Nest drops an `example` of the parameter.
      schema: { type: 'integer', minimum: 1, example: 1 },
    });

  @ApiTags(PLURAL[kind])
  @Controller(`api/v1/${PLURAL[kind]}/:name/versions`)
  class VersionController {
    constructor(
      private readonly versions: VersionService,
      private readonly reader: VersionReader,
      private readonly notes: VersionNoteService,
    ) {}

    @Post()
    @ApiOperation({
      summary: `Register a version of a ${kind}`,
      description:
        `The content is validated by its schema (also at /api/v1/schemas/${kind}), canonicalised (RFC 8785) and digested (SHA-256).` +
        (kind === 'chain'
          ? ' References may be written name@alias, name@number or pinned; stored are the number and digest they mean now.'
          : ''),
    })
    @ApiName()
    @ApiBody({ type: dtos.register })
    @ApiCreatedResponse({ description: 'A new version.', type: dtos.version })
    @ApiOkResponse({
      description: 'Identical content is a version already: that version, archived or not.',
      type: dtos.version,
    })
    @ApiErrors(
      'VALIDATION_FAILED',
      'INVALID_JSON',
      'NOT_FOUND',
      'ARCHIVED',
      'PAYLOAD_TOO_LARGE',
      'UNSUPPORTED_MEDIA_TYPE',
      ...(kind === 'chain'
        ? (['REFERENCE_NOT_FOUND', 'REFERENCE_ARCHIVED', 'DIGEST_MISMATCH'] as const)
        : []),
    )
    async register(
      @CallerParam() caller: Caller,
      @Param('name') name: string,
      @Body() body: RegisterVersionDto,
      @Res({ passthrough: true }) response: Response,
    ): Promise<VersionDto> {
      return answer(response, await this.versions.register(caller, kind, name, body));
    }

    @Get()
    @ApiOperation({
      summary: `List the versions of a ${kind}`,
      description: 'Newest first, without contents.',
    })
    @ApiName()
    @ApiPage(VersionSummaryDto, 'A page.')
    @ApiErrors('VALIDATION_FAILED', 'INVALID_CURSOR', 'NOT_FOUND')
    list(
      @CallerParam() caller: Caller,
      @Param('name') name: string,
      @Query() query: ListVersionsQuery,
    ): Promise<Page<VersionSummaryDto>> {
      return this.reader.list(caller, kind, name, query);
    }

    @Get(':number')
    @ApiOperation({ summary: `Get a version of a ${kind}` })
    @ApiName()
    @ApiNumber()
    @ApiOkResponse({ description: 'Found.', type: dtos.version })
    @ApiErrors('VALIDATION_FAILED', 'NOT_FOUND')
    get(
      @CallerParam() caller: Caller,
      @Param('name') name: string,
      @VersionNumber() version: number,
    ): Promise<VersionDto> {
      return this.reader.get(caller, kind, name, version);
    }

    @Patch(':number')
    @ApiOperation({
      summary: `Change what is said about a version of a ${kind}`,
      description: 'Its description, tags and stage. The version itself never changes.',
    })
    @ApiName()
    @ApiNumber()
    @ApiOkResponse({ description: 'Changed.', type: dtos.version })
    @ApiErrors(
      'VALIDATION_FAILED',
      'INVALID_JSON',
      'NOT_FOUND',
      'PAYLOAD_TOO_LARGE',
      'UNSUPPORTED_MEDIA_TYPE',
    )
    update(
      @CallerParam() caller: Caller,
      @Param('name') name: string,
      @VersionNumber() version: number,
      @Body() body: UpdateVersionDto,
    ): Promise<VersionDto> {
      return this.notes.update(caller, kind, name, version, body);
    }

    @Get(':number/content')
    @ApiOperation({
      summary: `Get the canonical content of a version of a ${kind}`,
      description:
        'Exactly the bytes the digest is over: their SHA-256 is the hexadecimal part of the digest, which is also the ETag.',
    })
    @ApiName()
    @ApiNumber()
    @ApiOkResponse({
      description: 'RFC 8785 canonical JSON.',
      content: { 'application/json': { schema: { $ref: contentSchemaRef(kind) } } },
      headers: { etag: { description: 'The digest, quoted.', schema: { type: 'string' } } },
    })
    @ApiErrors('VALIDATION_FAILED', 'NOT_FOUND')
    async getContent(
      @CallerParam() caller: Caller,
      @Param('name') name: string,
      @VersionNumber() version: number,
      @Res({ passthrough: true }) response: Response,
    ): Promise<string> {
      return answerContent(response, await this.reader.getContent(caller, kind, name, version));
    }

    @Get(':number/used-by')
    @ApiOperation({
      summary: `List what refers to a version of a ${kind}`,
      description: 'Versions whose content pins this one, newest first.',
    })
    @ApiName()
    @ApiNumber()
    @ApiPage(VersionUseDto, 'A page.')
    @ApiErrors('VALIDATION_FAILED', 'INVALID_CURSOR', 'NOT_FOUND')
    listUses(
      @CallerParam() caller: Caller,
      @Param('name') name: string,
      @VersionNumber() version: number,
      @Query() query: PageQuery,
    ): Promise<Page<VersionUseDto>> {
      return this.reader.listUses(caller, kind, name, version, query);
    }

    @Post(':number/archive')
    @HttpCode(200)
    @ApiOperation({
      summary: `Archive a version of a ${kind}`,
      description:
        'It leaves the list and can no longer be referred to; what is pinned to it goes on working. Refused while an alias points at it.',
    })
    @ApiName()
    @ApiNumber()
    @ApiOkResponse({ description: 'Archived, now or before.', type: dtos.version })
    @ApiErrors('VALIDATION_FAILED', 'NOT_FOUND', 'IN_USE')
    archive(
      @CallerParam() caller: Caller,
      @Param('name') name: string,
      @VersionNumber() version: number,
    ): Promise<VersionDto> {
      return this.versions.archive(caller, kind, name, version);
    }

    @Post(':number/restore')
    @HttpCode(200)
    @ApiOperation({ summary: `Restore an archived version of a ${kind}` })
    @ApiName()
    @ApiNumber()
    @ApiOkResponse({ description: 'In use.', type: dtos.version })
    @ApiErrors('VALIDATION_FAILED', 'NOT_FOUND')
    restore(
      @CallerParam() caller: Caller,
      @Param('name') name: string,
      @VersionNumber() version: number,
    ): Promise<VersionDto> {
      return this.versions.restore(caller, kind, name, version);
    }
  }
  return named(VersionController, `${capitalised(kind)}VersionsController`);
}

function answer(response: Response, { created, version }: Registered): VersionDto {
  response.status(created ? 201 : 200);
  return version;
}

function answerContent(response: Response, { content, digest }: StoredContent): string {
  response.type('application/json').setHeader('etag', `"${digest}"`);
  return content;
}
