import {
  applyDecorators,
  Body,
  Controller,
  Delete,
  Get,
  HttpCode,
  Param,
  Post,
  Put,
  Query,
  Req,
  Res,
} from '@nestjs/common';
import {
  ApiBody,
  ApiConsumes,
  ApiCreatedResponse,
  ApiHeader,
  ApiNoContentResponse,
  ApiOkResponse,
  ApiOperation,
  ApiParam,
  ApiResponse,
  ApiTags,
} from '@nestjs/swagger';
import type { Request, Response } from 'express';
import { KINDS } from '#libs/core/content/schemas.js';
import { capitalised, named, PLURAL } from '../entries/kind.js';
import { type Caller, CallerParam } from '../http/caller.js';
import { ApiErrors } from '../http/errors.doc.js';
import { ApiPage, PageQuery, type Page } from '../http/page.js';
import { ArtifactDto, CreateUploadDto, DownloadUrlDto, PathQuery } from './artifact.dto.js';
import { sendArtifact } from './artifact-download.js';
import { OwnerParam, type OwnerReference } from './artifact-owner.js';
import { ArtifactService } from './artifact.service.js';
import { BegunUploadDto, CompleteUploadDto, PartUrlDto } from './upload.dto.js';
import { UploadService } from './upload.service.js';

type OwnerKind = OwnerReference['kind'];

/** Only of the successes: `@ApiProduces` would say it of the errors, too. */
const BYTES = { 'application/octet-stream': { schema: { type: 'string', format: 'binary' } } } as const;
const EXAMPLE_ID = '019aab3c-5d10-7c43-9a55-0d3c8f1a2b4c';

/** One controller per kind of owner: the routes are the same below `…/versions/{number}` and `…/runs/{runId}`. */
function artifactController(kind: OwnerKind) {
  @ApiTags('artifacts')
  @OwnerPath(kind)
  class ArtifactController {
    constructor(
      private readonly artifacts: ArtifactService,
      private readonly uploads: UploadService,
    ) {}

    @Get()
    @ApiOperation({ summary: `List the artifacts of a ${said(kind)}`, description: 'In order of path.' })
    @ApiPage(ArtifactDto, 'Artifacts in order of path.')
    @ApiErrors('VALIDATION_FAILED', 'INVALID_CURSOR', 'NOT_FOUND')
    list(
      @CallerParam() caller: Caller,
      @OwnerParam(kind) owner: OwnerReference,
      @Query() query: PageQuery,
    ): Promise<Page<ArtifactDto>> {
      return this.artifacts.list(caller, owner, query);
    }

    @Get('content')
    @ApiOperation({
      summary: `Download an artifact of a ${said(kind)}`,
      description:
        'Streamed through the registry. One `Range` of bytes is answered 206, `If-None-Match` with the ETag 304.',
    })
    @ApiHeader({
      name: 'range',
      required: false,
      description: 'One range of bytes.',
      example: 'bytes=0-1023',
    })
    @ApiOkResponse({ description: 'The bytes.', content: BYTES })
    @ApiResponse({ status: 206, description: 'The range.', content: BYTES })
    @ApiResponse({ status: 304, description: 'You have it already.' })
    @ApiErrors('VALIDATION_FAILED', 'NOT_FOUND', 'RANGE_NOT_SATISFIABLE', 'OBJECT_STORE_UNAVAILABLE')
    async download(
      @CallerParam() caller: Caller,
      @OwnerParam(kind) owner: OwnerReference,
      @Query() query: PathQuery,
      @Req() request: Request,
      @Res() response: Response,
    ): Promise<void> {
      return this.artifacts
        .get(caller, owner, query.path)
        .then((artifact) =>
          sendArtifact(request, response, artifact, (range) => this.artifacts.open(caller, artifact, range)),
        );
    }

    @Put('content')
    @ApiOperation({
      summary: `Upload a small artifact of a ${said(kind)}`,
      description:
        'The body is the artifact, byte for byte, streamed through the registry; content-type is kept. Large files go faster by presigned upload.',
    })
    @ApiConsumes('application/octet-stream')
    @ApiBody({ description: 'The bytes.', schema: { type: 'string', format: 'binary' } })
    @ApiHeader({
      name: 'x-catena-sha256',
      required: false,
      description: 'SHA-256 of the body in hexadecimal; the upload is refused when the bytes have another.',
    })
    @ApiCreatedResponse({ description: 'Stored.', type: ArtifactDto })
    @ApiOkResponse({ description: 'The same bytes were there under this path already.', type: ArtifactDto })
    @ApiErrors(
      'VALIDATION_FAILED',
      'NOT_FOUND',
      'ARCHIVED',
      'IMMUTABLE',
      'PAYLOAD_TOO_LARGE',
      'UNSUPPORTED_MEDIA_TYPE',
      'DIGEST_MISMATCH',
      'OBJECT_STORE_UNAVAILABLE',
    )
    async upload(
      @CallerParam() caller: Caller,
      @OwnerParam(kind) owner: OwnerReference,
      @Query() query: PathQuery,
      @Req() request: Request,
      @Res({ passthrough: true }) response: Response,
    ): Promise<ArtifactDto> {
      return this.artifacts
        .receive(caller, owner, query.path, request)
        .then((added) => answer(response, added.created, added.artifact));
    }

    @Get('download-url')
    @ApiOperation({
      summary: `Get a presigned URL of an artifact of a ${said(kind)}`,
      description: 'The URL reads straight from the object store, without credentials, for one hour.',
    })
    @ApiOkResponse({ description: 'The URL.', type: DownloadUrlDto })
    @ApiErrors('VALIDATION_FAILED', 'NOT_FOUND')
    presign(
      @CallerParam() caller: Caller,
      @OwnerParam(kind) owner: OwnerReference,
      @Query() query: PathQuery,
    ): Promise<DownloadUrlDto> {
      return this.artifacts.presignDownload(caller, owner, query.path);
    }

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
    @ApiOkResponse({ description: 'The same bytes were there under this path already.', type: ArtifactDto })
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
  return named(ArtifactController, `${kind === 'run' ? 'Run' : capitalised(kind)}ArtifactController`);
}

export const ARTIFACT_CONTROLLERS = ([...KINDS, 'run'] as const).map(artifactController);

function OwnerPath(kind: OwnerKind): ClassDecorator {
  if (kind === 'run')
    return applyDecorators(
      Controller('api/v1/runs/:runId/artifacts'),
      ApiParam({
        name: 'runId',
        description: 'Id of the run.',
        schema: { type: 'string', format: 'uuid', example: EXAMPLE_ID },
      }),
    );
  return applyDecorators(
    Controller(`api/v1/${PLURAL[kind]}/:name/versions/:number/artifacts`),
    ApiParam({
      name: 'name',
      description: `Name of the ${kind}.`,
      schema: { type: 'string', example: 'support-reply' },
    }),
    ApiParam({
      name: 'number',
      description: 'Number of the version.',
      schema: { type: 'integer', minimum: 1, example: 1 },
    }),
  );
}

function UploadIdParam(): MethodDecorator {
  return ApiParam({
    name: 'uploadId',
    description: 'Id of the upload.',
    schema: { type: 'string', format: 'uuid', example: EXAMPLE_ID },
  });
}

function said(kind: OwnerKind): string {
  return kind === 'run' ? 'run' : `${kind} version`;
}

function answer<T>(response: Response, created: boolean, body: T): T {
  response.status(created ? 201 : 200);
  return body;
}
