import type { IncomingMessage } from 'node:http';
import { Injectable } from '@nestjs/common';
import { v7 } from 'uuid';
import { DomainError } from '#libs/core/errors/catalogue.js';
import { ObjectPresigner } from '#libs/platform/object-store/object-presigner.js';
import {
  MAX_WRITE_BYTES,
  ObjectStore,
  type ByteRange,
  type ObjectBody,
} from '#libs/platform/object-store/object-store.js';
import type { Caller } from '../http/caller.js';
import { decodeCursor, isStringKey, pageOf, type Page, type PageQuery } from '../http/page.js';
import type { ArtifactDto, DownloadUrlDto } from './artifact.dto.js';
import { DEFAULT_CONTENT_TYPE, isMediaType, isSha256 } from './artifact.dto.js';
import { OwnerLookup, type Owner, type OwnerReference } from './artifact-owner.js';
import { ArtifactRows, refuseOtherBytes, type Artifact } from './artifact-rows.js';
import { BlobStore, blobKey, stagingKey } from './blob-store.js';
import { attachment } from './content-headers.js';
import { drain, ReceivedBody, tooLarge } from './received-body.js';

const DOWNLOAD_URL_SECONDS = 3600;

export interface Added {
  /** False when the same bytes were there under the same path already. */
  readonly created: boolean;
  readonly artifact: ArtifactDto;
}

@Injectable()
export class ArtifactService {
  constructor(
    private readonly owners: OwnerLookup,
    private readonly rows: ArtifactRows,
    private readonly blobs: BlobStore,
    private readonly store: ObjectStore,
    private readonly presigner: ObjectPresigner,
  ) {}

  /** In order of path. */
  async list(caller: Caller, owner: OwnerReference, query: PageQuery): Promise<Page<ArtifactDto>> {
    const found = await this.owners.get(caller, owner);
    const after = decodeCursor(query.cursor, isStringKey);
    const rows = await this.rows.list(caller, found, after, query.limit + 1);
    return pageOf(rows, query.limit, (artifact) => artifact.path, toArtifactDto);
  }

  /** @throws DomainError NOT_FOUND. */
  async get(caller: Caller, owner: OwnerReference, path: string): Promise<Artifact> {
    const found = await this.owners.get(caller, owner);
    const artifact = await this.rows.find(caller, found, path);
    if (!artifact)
      throw new DomainError(
        'NOT_FOUND',
        `There is no artifact "${path}" here; list the artifacts to see what is.`,
      );
    return artifact;
  }

  /** Opens the bytes of an artifact, or a range that lies inside them. */
  async open(caller: Caller, artifact: Artifact, range?: ByteRange): Promise<ObjectBody> {
    const object = await this.store.read(blobKey(caller.workspaceId, artifact.sha256), range);
    if (!object)
      throw new DomainError(
        'INTERNAL',
        `The object store no longer holds the bytes of "${artifact.path}" (SHA-256 ${artifact.sha256}); restore the bucket, or upload them again.`,
      );
    return object;
  }

  async presignDownload(caller: Caller, owner: OwnerReference, path: string): Promise<DownloadUrlDto> {
    const artifact = await this.get(caller, owner, path);
    const expiresAt = new Date(Date.now() + DOWNLOAD_URL_SECONDS * 1000);
    const url = await this.presigner.get(
      blobKey(caller.workspaceId, artifact.sha256),
      { contentType: artifact.contentType, contentDisposition: attachment(artifact.path) },
      DOWNLOAD_URL_SECONDS,
    );
    return { url, expiresAt: expiresAt.toISOString() };
  }

  /**
   * Streams the body of a request into the store and makes it an artifact, in constant memory. Headers:
   * content-type is kept, `x-catena-sha256` is checked against the bytes.
   */
  async receive(
    caller: Caller,
    reference: OwnerReference,
    path: string,
    request: IncomingMessage,
  ): Promise<Added> {
    const headers = readHeaders(request);
    const owner = await this.owners.getWritable(caller, reference);
    if (headers.sha256 !== undefined)
      refuseOtherBytes(await this.rows.find(caller, owner, path), headers.sha256);
    const staged = stagingKey(caller.workspaceId, v7());
    try {
      const bytes = await this.stage(staged, new ReceivedBody(request), headers.sha256);
      refuseOtherBytes(await this.rows.find(caller, owner, path), bytes.sha256);
      await this.blobs.promote(caller.workspaceId, staged, await this.staged(staged, bytes.sizeBytes), bytes);
      return await this.add(caller, owner, { path, contentType: headers.contentType, ...bytes });
    } finally {
      drain(request);
      await this.blobs.discard(staged);
    }
  }

  private async stage(staged: string, body: ReceivedBody, expected: string | undefined) {
    try {
      await this.store.write(staged, body.stream, body.announcedBytes);
    } catch (error) {
      throw body.failure ?? error;
    }
    const bytes = { sha256: body.sha256(), sizeBytes: body.sizeBytes };
    if (expected !== undefined && expected !== bytes.sha256)
      throw new DomainError(
        'DIGEST_MISMATCH',
        `The body has SHA-256 ${bytes.sha256}, not ${expected} as x-catena-sha256 says; it was discarded. Send it again.`,
        { expected, actual: bytes.sha256 },
      );
    return bytes;
  }

  private async staged(key: string, sizeBytes: number) {
    const object = await this.store.find(key);
    if (object?.sizeBytes !== sizeBytes)
      throw new DomainError(
        'OBJECT_STORE_UNAVAILABLE',
        'The object store does not hold what was just stored; nothing was changed. Try again.',
      );
    return object;
  }

  private async add(caller: Caller, owner: Owner, given: Parameters<ArtifactRows['add']>[2]): Promise<Added> {
    const { created, artifact } = await this.rows.add(caller, owner, given);
    return { created, artifact: toArtifactDto(artifact) };
  }
}

export function toArtifactDto(artifact: Artifact): ArtifactDto {
  return { ...artifact, createdAt: artifact.createdAt.toISOString() };
}

function readHeaders(request: IncomingMessage): { sha256: string | undefined; contentType: string } {
  const { headers } = request;
  const sha256 = headers['x-catena-sha256'];
  if (sha256 !== undefined && (typeof sha256 !== 'string' || !isSha256(sha256)))
    throw new DomainError(
      'VALIDATION_FAILED',
      'Header x-catena-sha256 must be a SHA-256 in 64 lower-case hexadecimal digits.',
    );
  if ((headers['content-encoding'] ?? 'identity') !== 'identity')
    throw new DomainError(
      'UNSUPPORTED_MEDIA_TYPE',
      'Artifacts are stored as they are sent: send the bytes without content-encoding.',
    );
  const contentType = headers['content-type'] ?? DEFAULT_CONTENT_TYPE;
  if (!isMediaType(contentType))
    throw new DomainError(
      'UNSUPPORTED_MEDIA_TYPE',
      `"${contentType}" is not a media type; send one such as ${DEFAULT_CONTENT_TYPE}.`,
    );
  if (Number(headers['content-length'] ?? 0) > MAX_WRITE_BYTES) throw tooLarge();
  return { sha256, contentType };
}
