import { Delete, Get, Put, Query, Req, Res } from '@nestjs/common';
import {
  ApiBody,
  ApiConsumes,
  ApiCreatedResponse,
  ApiHeader,
  ApiOkResponse,
  ApiOperation,
  ApiResponse,
  ApiTags,
} from '@nestjs/swagger';
import type { Request, Response } from 'express';
import { named } from '../entries/kind.js';
import { type Caller, CallerParam } from '../http/caller.js';
import { ApiErrors } from '../http/errors.doc.js';
import { ApiPage, PageQuery, type Page } from '../http/page.js';
import {
  ArtifactDto,
  DeletedArtifactsDto,
  DirectoryEntryDto,
  DirectoryQuery,
  DownloadUrlDto,
  PathQuery,
} from './artifact.dto.js';
import { sendArtifact } from './artifact-download.js';
import { OwnerParam, type OwnerReference } from './artifact-owner.js';
import { ArtifactService } from './artifact.service.js';
import { controllerPrefix, OwnerPath, ROUTED_OWNERS, said, type RoutedOwner } from './owner-path.js';

/** Only of the successes: `@ApiProduces` would say it of the errors, too. */
const BYTES = { 'application/octet-stream': { schema: { type: 'string', format: 'binary' } } } as const;

/** One controller per kind of owner: the routes are the same below `…/versions/{number}` and `…/runs/{runId}`. */
function artifactController(kind: RoutedOwner) {
  @ApiTags('artifacts')
  @OwnerPath(kind)
  class ArtifactController {
    constructor(private readonly artifacts: ArtifactService) {}

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

    @Get('directory')
    @ApiOperation({
      summary: `List a directory of the artifacts of a ${said(kind)}`,
      description:
        'One level: files with their sizes, and directories, in order of path. Empty where there is no such directory.',
    })
    @ApiPage(DirectoryEntryDto, 'Files and directories in order of path.')
    @ApiErrors('VALIDATION_FAILED', 'INVALID_CURSOR', 'NOT_FOUND')
    listDirectory(
      @CallerParam() caller: Caller,
      @OwnerParam(kind) owner: OwnerReference,
      @Query() query: DirectoryQuery,
    ): Promise<Page<DirectoryEntryDto>> {
      return this.artifacts.listDirectory(caller, owner, query);
    }

    @Delete()
    @ApiOperation({
      summary: `Delete artifacts of a ${said(kind)}`,
      description: isVersion(kind)
        ? 'Always refused: what a version holds never changes.'
        : 'A file, or a directory with all that is in it. The bytes stay until they are collected as garbage.',
    })
    @ApiOkResponse({ description: 'Deleted.', type: DeletedArtifactsDto })
    @ApiErrors('VALIDATION_FAILED', 'NOT_FOUND', 'IMMUTABLE')
    delete(
      @CallerParam() caller: Caller,
      @OwnerParam(kind) owner: OwnerReference,
      @Query() query: PathQuery,
    ): Promise<DeletedArtifactsDto> {
      return this.artifacts.delete(caller, owner, query.path);
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
          sendArtifact(request, response, artifact, (range) => this.artifacts.open(artifact, range)),
        );
    }

    @Put('content')
    @ApiOperation({
      summary: `Upload a small artifact of a ${said(kind)}`,
      description: `The body is the artifact, byte for byte, streamed through the registry; content-type is kept. ${
        isVersion(kind)
          ? 'A path never changes its bytes.'
          : 'Bytes that are there under the path are replaced; of uploads at once, the last to end wins.'
      }`,
    })
    @ApiConsumes('application/octet-stream')
    @ApiBody({ description: 'The bytes.', schema: { type: 'string', format: 'binary' } })
    @ApiHeader({
      name: 'x-catena-sha256',
      required: false,
      description: 'SHA-256 of the body in hexadecimal; the upload is refused when the bytes have another.',
    })
    @ApiCreatedResponse({ description: 'Stored.', type: ArtifactDto })
    @ApiOkResponse({ description: thereAlready(kind), type: ArtifactDto })
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
      return this.artifacts.receive(caller, owner, query.path, request).then(({ created, artifact }) => {
        response.status(created ? 201 : 200);
        return artifact;
      });
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
  }
  return named(ArtifactController, `${controllerPrefix(kind)}ArtifactController`);
}

export const ARTIFACT_CONTROLLERS = ROUTED_OWNERS.map(artifactController);

function isVersion(owner: RoutedOwner): boolean {
  return owner !== 'run' && owner !== 'loggedModel';
}

/** What 200 means where 201 means that the artifact is new. */
export function thereAlready(owner: RoutedOwner): string {
  return isVersion(owner)
    ? 'The same bytes were there under this path already.'
    : 'Something was there under this path already, and was replaced.';
}
