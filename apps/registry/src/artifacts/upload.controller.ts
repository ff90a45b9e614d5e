import { Body, Delete, Get, HttpCode, Param, Post, Query, Res } from '@nestjs/common';
import {
  ApiCreatedResponse,
  ApiNoContentResponse,
  ApiOkResponse,
  ApiOperation,
  ApiParam,
  ApiTags,
} from '@nestjs/swagger';
import type { Response } from 'express';
import { named } from '../entries/kind.js';
import { type Caller, CallerParam } from '../http/caller.js';
import { ApiErrors } from '../http/errors.doc.js';
import { ApiPage, PageQuery, type Page } from '../http/page.js';
import { thereAlready } from './artifact.controller.js';
import { ArtifactDto, CreateUploadDto } from './artifact.dto.js';
import { OwnerParam, type OwnerReference } from './artifact-owner.js';
import {
  controllerPrefix,
  EXAMPLE_ID,
  OwnerPath,
  ROUTED_OWNERS,
  said,
  type RoutedOwner,
} from './owner-path.js';
import { BegunUploadDto, CompleteUploadDto, PartUrlDto } from './upload.dto.js';
import { UploadService } from './upload.service.js';

/** Presigned uploads; one controller per kind of owner, as of artifacts. */
function uploadController(kind: RoutedOwner) {
  @ApiTags('artifacts')
  @OwnerPath(kind)
  class UploadController {
    constructor(private readonly uploads: UploadService) {}

    @Post('uploads')
    @ApiOperation({
      summary: `Begin a presigned upload to a ${said(kind)}`,
      description:
        'Answers URLs to PUT the bytes to, straight into the object store: one up to 64 MiB, one per part above. Nothing is visible until the upload is completed. Bytes that the workspace holds already (same SHA-256 and size) are not uploaded again: the artifact is there at once (200).',
    })
    @ApiCreatedResponse({ description: 'Upload the bytes, then complete.', type: BegunUploadDto })
    @ApiOkResponse({
      description: 'The bytes were there already, and now the artifact is.',
      type: BegunUploadDto,
    })
    @ApiErrors(
      'VALIDATION_FAILED',
      'INVALID_JSON',
      'NOT_FOUND',
      'ARCHIVED',
      'IMMUTABLE',
      'DIGEST_MISMATCH',
      'OBJECT_STORE_UNAVAILABLE',
    )
    async begin(
      @CallerParam() caller: Caller,
      @OwnerParam(kind) owner: OwnerReference,
      @Body() body: CreateUploadDto,
      @Res({ passthrough: true }) response: Response,
    ): Promise<BegunUploadDto> {
      return this.uploads
        .create(caller, owner, body)
        .then(({ created, begun }) => answer(response, created, begun));
    }

    @Get('uploads/:uploadId/parts')
    @UploadIdParam()
    @ApiOperation({
      summary: 'List the part URLs of a multipart upload',
      description: 'In order of part number; empty for a single upload.',
    })
    @ApiPage(PartUrlDto, 'Parts in order.')
    @ApiErrors('VALIDATION_FAILED', 'INVALID_CURSOR', 'NOT_FOUND')
    listParts(
      @CallerParam() caller: Caller,
      @OwnerParam(kind) owner: OwnerReference,
      @Param('uploadId') uploadId: string,
      @Query() query: PageQuery,
    ): Promise<Page<PartUrlDto>> {
      return this.uploads.listParts(caller, owner, uploadId, query);
    }

    @Post('uploads/:uploadId/complete')
    @UploadIdParam()
    @ApiOperation({
      summary: 'Complete an upload',
      description:
        'Reads the uploaded bytes back and verifies their size and SHA-256; only then is there an artifact. Takes as long as reading takes. Wrong bytes are discarded, and the upload with them.',
    })
    @ApiCreatedResponse({ description: 'The artifact is there.', type: ArtifactDto })
    @ApiOkResponse({ description: thereAlready(kind), type: ArtifactDto })
    @ApiErrors(
      'VALIDATION_FAILED',
      'INVALID_JSON',
      'NOT_FOUND',
      'ARCHIVED',
      'IMMUTABLE',
      'UPLOAD_INCOMPLETE',
      'DIGEST_MISMATCH',
      'OBJECT_STORE_UNAVAILABLE',
    )
    async complete(
      @CallerParam() caller: Caller,
      @OwnerParam(kind) owner: OwnerReference,
      @Param('uploadId') uploadId: string,
      @Body() body: CompleteUploadDto,
      @Res({ passthrough: true }) response: Response,
    ): Promise<ArtifactDto> {
      return this.uploads
        .complete(caller, owner, uploadId, body.parts)
        .then((added) => answer(response, added.created, added.artifact));
    }

    @Delete('uploads/:uploadId')
    @UploadIdParam()
    @HttpCode(204)
    @ApiOperation({ summary: 'Abort an upload', description: 'Discards what was uploaded so far.' })
    @ApiNoContentResponse({ description: 'Aborted.' })
    @ApiErrors('VALIDATION_FAILED', 'NOT_FOUND', 'OBJECT_STORE_UNAVAILABLE')
    abort(
      @CallerParam() caller: Caller,
      @OwnerParam(kind) owner: OwnerReference,
      @Param('uploadId') uploadId: string,
    ): Promise<void> {
      return this.uploads.abort(caller, owner, uploadId);
    }
  }
  return named(UploadController, `${controllerPrefix(kind)}UploadController`);
}

export const UPLOAD_CONTROLLERS = ROUTED_OWNERS.map(uploadController);

function UploadIdParam(): MethodDecorator {
  return ApiParam({
    name: 'uploadId',
    description: 'Id of the upload.',
    schema: { type: 'string', format: 'uuid', example: EXAMPLE_ID },
  });
}

function answer<T>(response: Response, created: boolean, body: T): T {
  response.status(created ? 201 : 200);
  return body;
}
