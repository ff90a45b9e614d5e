import type { IncomingMessage } from 'node:http';
import { Injectable } from '@nestjs/common';
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
import type {
  ArtifactDto,
  DeletedArtifactsDto,
  DirectoryEntryDto,
  DirectoryQuery,
  DownloadUrlDto,
} from './artifact.dto.js';
import { DEFAULT_CONTENT_TYPE, isMediaType, isSha256 } from './artifact.dto.js';
import { guessedType } from './guessed-type.js';
import { isImmutable, OwnerLookup, type OwnerReference } from './artifact-owner.js';
import { ArtifactRows, refuseOtherBytes, type Artifact } from './artifact-rows.js';
import { ArtifactWriter } from './artifact-writer.js';
import { BlobStore } from './blob-store.js';
import { attachment } from './content-headers.js';
import { DirectoryRows, type DirectoryEntry } from './directory-rows.js';
import { drain, ReceivedBody, tooLarge } from './received-body.js';

const DOWNLOAD_URL_SECONDS = 3600;

export interface Added {
  /** False when there was something under the path already: the same bytes, or others that these replace. */
  readonly created: boolean;
  readonly artifact: ArtifactDto;
}

@Injectable()
export class ArtifactService {
  constructor(
    private readonly owners: OwnerLookup,
    private readonly rows: ArtifactRows,
    private readonly directories: DirectoryRows,
    private readonly writer: ArtifactWriter,
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

  /** What lies directly in a directory, in order of path; nothing where there is no such directory. */
  async listDirectory(
    caller: Caller,
    owner: OwnerReference,
    query: DirectoryQuery,
  ): Promise<Page<DirectoryEntryDto>> {
    const found = await this.owners.get(caller, owner);
    const { path = '', limit } = query;
    const [name, isDirectory] = decodeCursor(query.cursor, isEntryKey) ?? [];
    const after = name === undefined ? undefined : { name, isDirectory: isDirectory! };
    const rows = await this.directories.list(caller, found, path, after, limit + 1);
    return pageOf(rows, limit, keyOf, (entry) => ({
      path: path === '' ? entry.name : `${path}/${entry.name}`,
      ...entry,
    }));
  }

  /** All that lies directly in a directory. */
  async readDirectory(caller: Caller, owner: OwnerReference, path: string): Promise<DirectoryEntry[]> {
    return this.directories.list(caller, await this.owners.get(caller, owner), path, undefined, MAX_ENTRIES);
  }

  /** @throws DomainError NOT_FOUND. */
  async get(caller: Caller, owner: OwnerReference, path: string): Promise<Artifact> {
    const found = await this.owners.get(caller, owner);
    const artifact = await this.rows.find(caller, found, path);
    if (!artifact) throw noSuchArtifact(path);
    return artifact;
  }

  /** Opens the bytes of an artifact, or a range that lies inside them. */
  async open(artifact: Artifact, range?: ByteRange): Promise<ObjectBody> {
    const object = await this.store.read(artifact.objectKey, range);
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
      artifact.objectKey,
      { contentType: artifact.contentType, contentDisposition: attachment(artifact.path) },
      DOWNLOAD_URL_SECONDS,
    );
    return { url, expiresAt: expiresAt.toISOString(), sizeBytes: artifact.sizeBytes };
  }

  /**
   * Streams the body of a request into the store and makes it an artifact, in constant memory. Headers:
   * content-type is kept (guessed by the name where there is none), `x-catena-sha256` is checked against the bytes.
   */
  async receive(
    caller: Caller,
    reference: OwnerReference,
    path: string,
    request: IncomingMessage,
  ): Promise<Added> {
    const headers = readHeaders(request, path);
    const owner = await this.owners.getWritable(caller, reference);
    if (headers.sha256 !== undefined)
      refuseOtherBytes(owner, await this.rows.find(caller, owner, path), headers.sha256);
    try {
      const { objectKey, ...bytes } = await this.blobs.write(caller.workspaceId, new ReceivedBody(request));
      await this.refuseOtherDigest(objectKey, bytes.sha256, headers.sha256);
      const given = { path, contentType: headers.contentType, ...bytes };
      const { created, artifact } = await this.writer.add(caller, owner, given, objectKey);
      return { created, artifact: toArtifactDto(artifact) };
    } finally {
      drain(request);
    }
  }

  private async refuseOtherDigest(
    objectKey: string,
    actual: string,
    expected: string | undefined,
  ): Promise<void> {
    if (expected === undefined || expected === actual) return;
    await this.blobs.discard(objectKey);
    throw new DomainError(
      'DIGEST_MISMATCH',
      `The body has SHA-256 ${actual}, not ${expected} as x-catena-sha256 says; it was discarded. Send it again.`,
      { expected, actual },
    );
  }

  /**
   * Deletes a file, or a directory with all that is in it; with the path '' all artifacts of the owner. The bytes
   * stay until `gc`.
   * @throws DomainError NOT_FOUND where nothing is there, IMMUTABLE for versions.
   */
  async delete(caller: Caller, reference: OwnerReference, path: string): Promise<DeletedArtifactsDto> {
    const owner = await this.owners.get(caller, reference);
    if (isImmutable(owner))
      throw new DomainError('IMMUTABLE', 'Artifacts of versions never change; register another version.');
    const deleted = await this.rows.delete(caller, owner, path);
    if (deleted === 0 && path !== '') throw noSuchArtifact(path);
    return { deleted };
  }
}

/** A directory that MLflow's clients list whole; a safeguard of memory. */
const MAX_ENTRIES = 1_000_000;

type EntryKey = [name: string, isDirectory: boolean];
const keyOf = (entry: DirectoryEntry): EntryKey => [entry.name, entry.isDirectory];
const isEntryKey = (key: unknown): key is EntryKey =>
  Array.isArray(key) && key.length === 2 && isStringKey(key[0]) && typeof key[1] === 'boolean';

export function toArtifactDto(artifact: Artifact): ArtifactDto {
  const { objectKey: _, createdAt, ...shown } = artifact;
  return { ...shown, createdAt: createdAt.toISOString() };
}

function noSuchArtifact(path: string): DomainError {
  return new DomainError(
    'NOT_FOUND',
    `There is no artifact "${path}" here; list the artifacts to see what is.`,
  );
}

function readHeaders(
  request: IncomingMessage,
  path: string,
): { sha256: string | undefined; contentType: string } {
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
  const contentType = headers['content-type'] ?? guessedType(path);
  if (!isMediaType(contentType))
    throw new DomainError(
      'UNSUPPORTED_MEDIA_TYPE',
      `"${contentType}" is not a media type; send one such as ${DEFAULT_CONTENT_TYPE}.`,
    );
  if (Number(headers['content-length'] ?? 0) > MAX_WRITE_BYTES) throw tooLarge();
  return { sha256, contentType };
}
