import { Injectable } from '@nestjs/common';
import { v7, validate } from 'uuid';
import { DomainError } from '#libs/core/errors/catalogue.js';
import { ObjectPresigner } from '#libs/platform/object-store/object-presigner.js';
import { ObjectStore, type StoredObject } from '#libs/platform/object-store/object-store.js';
import type { Caller } from '../http/caller.js';
import { decodeCursor, isNumberKey, pageOf, type Page, type PageQuery } from '../http/page.js';
import { DEFAULT_CONTENT_TYPE, type CreateUploadDto } from './artifact.dto.js';
import { OwnerLookup, type Owner, type OwnerReference } from './artifact-owner.js';
import { ArtifactRows, refuseOtherBytes, type Artifact, type NewArtifact } from './artifact-rows.js';
import { toArtifactDto, type Added } from './artifact.service.js';
import { ArtifactWriter, type Written } from './artifact-writer.js';
import { BlobStore, stagingKey } from './blob-store.js';
import type { BegunUploadDto, CompletedPartDto, PartUrlDto, UploadDto } from './upload.dto.js';
import { partCountOf, partSizeOf, sizeOfPart } from './upload-parts.js';
import { UploadRows, type PendingUpload } from './upload-rows.js';

/** How long an upload, and with it its URLs, can be used. */
export const UPLOAD_TTL_MS = 24 * 3_600_000;
/** Parts whose URLs come with the upload itself. Signing one takes a fraction of a millisecond. */
const FIRST_PARTS = 100;

/** Uploads by presigned URLs: the bytes go straight to the store, and are verified when the upload is completed. */
@Injectable()
export class UploadService {
  constructor(
    private readonly owners: OwnerLookup,
    private readonly artifacts: ArtifactRows,
    private readonly writer: ArtifactWriter,
    private readonly uploads: UploadRows,
    private readonly blobs: BlobStore,
    private readonly store: ObjectStore,
    private readonly presigner: ObjectPresigner,
  ) {}

  /** Bytes that the workspace holds already are not asked for again: the artifact is there at once. */
  async create(
    caller: Caller,
    reference: OwnerReference,
    given: CreateUploadDto,
  ): Promise<{ created: boolean; begun: BegunUploadDto }> {
    const owner = await this.owners.getWritable(caller, reference);
    const { path, sha256, sizeBytes, contentType = DEFAULT_CONTENT_TYPE } = given;
    const wanted = { path, sha256, sizeBytes, contentType };
    const known = await this.addKnown(caller, owner, wanted);
    if (known) return { created: false, begun: { artifact: toArtifactDto(known), upload: null } };
    const upload = await this.begin(caller, owner, wanted);
    return { created: true, begun: { artifact: null, upload: await this.describe(upload) } };
  }

  /** @returns the artifact when its bytes are in the workspace already. */
  private async addKnown(caller: Caller, owner: Owner, wanted: NewArtifact): Promise<Artifact | undefined> {
    const existing = await this.artifacts.find(caller, owner, wanted.path);
    refuseOtherBytes(owner, existing, wanted.sha256);
    const blob = await this.blobs.find(caller.workspaceId, wanted.sha256);
    if (blob === undefined) return undefined;
    if (blob.sizeBytes !== wanted.sizeBytes)
      throw new DomainError(
        'DIGEST_MISMATCH',
        `The bytes with SHA-256 ${wanted.sha256} are ${blob.sizeBytes}, not ${wanted.sizeBytes}; correct the digest or the size.`,
        { sha256: wanted.sha256, expected: wanted.sizeBytes, actual: blob.sizeBytes },
      );
    // Bytes that were lost from the store are mended by uploading them again.
    if (!(await this.blobs.isThere(blob))) return undefined;
    if (existing?.sha256 === wanted.sha256) return existing;
    return (await this.writer.addKnown(caller, owner, wanted))?.artifact;
  }

  private async begin(caller: Caller, owner: Owner, wanted: NewArtifact): Promise<DigestedUpload> {
    const id = v7();
    const key = stagingKey(caller.workspaceId, id);
    const partSizeBytes = partSizeOf(wanted.sizeBytes);
    const s3UploadId = partSizeBytes === null ? null : await this.store.beginMultipart(key);
    const upload: DigestedUpload = {
      id,
      workspaceId: caller.workspaceId,
      ...wanted,
      partSizeBytes,
      s3UploadId,
      expiresAt: new Date(Date.now() + UPLOAD_TTL_MS),
    };
    await this.uploads.insert(caller, owner, upload);
    return upload;
  }

  private async describe(upload: DigestedUpload): Promise<UploadDto> {
    const key = stagingKey(upload.workspaceId, upload.id);
    const first = await this.signParts(upload, 0, FIRST_PARTS);
    return {
      uploadId: upload.id,
      method: upload.partSizeBytes === null ? 'single' : 'multipart',
      url:
        upload.partSizeBytes === null
          ? await this.presigner.put(key, upload.sizeBytes, secondsLeft(upload))
          : null,
      headers: {},
      partSizeBytes: upload.partSizeBytes,
      partCount: partCountOf(upload),
      parts: first.items,
      nextCursor: first.nextCursor,
      expiresAt: upload.expiresAt.toISOString(),
    };
  }

  /** URLs of the parts, in order; none for a single upload. */
  async listParts(
    caller: Caller,
    reference: OwnerReference,
    uploadId: string,
    query: PageQuery,
  ): Promise<Page<PartUrlDto>> {
    const owner = await this.owners.get(caller, reference);
    const upload = await this.get(caller, owner, uploadId);
    return this.signParts(upload, decodeCursor(query.cursor, isNumberKey) ?? 0, query.limit);
  }

  private async signParts(upload: DigestedUpload, after: number, limit: number): Promise<Page<PartUrlDto>> {
    const { s3UploadId } = upload;
    if (s3UploadId === null) return { items: [], nextCursor: null };
    const from = Math.max(0, after);
    const last = Math.min(partCountOf(upload) ?? 0, from + limit + 1);
    const numbers = Array.from({ length: Math.max(0, last - from) }, (_, index) => from + index + 1);
    const page = pageOf(numbers, limit, Number, Number);
    const key = stagingKey(upload.workspaceId, upload.id);
    const items = await Promise.all(
      page.items.map(async (partNumber) => {
        const sizeBytes = sizeOfPart(upload, partNumber);
        const url = await this.presigner.putPart(key, s3UploadId, partNumber, sizeBytes, secondsLeft(upload));
        return { partNumber, sizeBytes, url };
      }),
    );
    return { items, nextCursor: page.nextCursor };
  }

  /** Verifies size and digest of what was uploaded; only then is there an artifact. */
  async complete(
    caller: Caller,
    reference: OwnerReference,
    uploadId: string,
    parts: readonly CompletedPartDto[] | undefined,
  ): Promise<Added> {
    const owner = await this.owners.getWritable(caller, reference);
    const upload = await this.get(caller, owner, uploadId);
    const staged = stagingKey(caller.workspaceId, upload.id);
    await this.join(upload, staged, parts);
    try {
      const object = await this.blobs.verify(staged, upload);
      if (!object)
        throw new DomainError(
          'UPLOAD_INCOMPLETE',
          upload.s3UploadId === null
            ? 'Nothing was uploaded yet: PUT the bytes to the URL of the upload, then complete it.'
            : 'The store does not hold all parts with these entity tags: PUT the missing ones, then complete with every partNumber and etag.',
        );
      refuseOtherBytes(owner, await this.artifacts.find(caller, owner, upload.path), upload.sha256);
      const { created, artifact } = await this.promote(caller, owner, upload, staged, object);
      await this.blobs.discardStaged(staged);
      return { created, artifact: toArtifactDto(artifact) };
    } catch (error) {
      // These never heal: the bytes are wrong, or the path is taken.
      if (error instanceof DomainError && ['DIGEST_MISMATCH', 'IMMUTABLE'].includes(error.code))
        await this.remove(upload);
      throw error;
    }
  }

  private async promote(
    caller: Caller,
    owner: Owner,
    upload: DigestedUpload,
    staged: string,
    object: StoredObject,
  ): Promise<Written> {
    const blob = await this.blobs.find(caller.workspaceId, upload.sha256);
    const known = blob !== undefined && (await this.blobs.isThere(blob));
    const written = known ? await this.writer.addKnown(caller, owner, upload, upload.id) : undefined;
    if (written) return written;
    const objectKey = await this.blobs.copy(caller.workspaceId, staged, object);
    return this.writer.add(caller, owner, upload, objectKey, upload.id);
  }

  /** Has the store join the parts. Refused parts may have been joined by an earlier attempt: what is staged tells. */
  private async join(
    upload: DigestedUpload,
    staged: string,
    parts: readonly CompletedPartDto[] | undefined,
  ): Promise<void> {
    if (upload.s3UploadId === null) {
      if (parts !== undefined)
        throw new DomainError('VALIDATION_FAILED', 'This upload has no parts; complete it without "parts".');
      return;
    }
    const count = partCountOf(upload)!;
    if (parts === undefined || parts.some((part) => part.partNumber > count))
      throw new DomainError(
        'VALIDATION_FAILED',
        `This upload has parts 1 to ${count}; complete it with "parts", each with its partNumber and etag.`,
      );
    if (parts.length < count)
      throw new DomainError(
        'UPLOAD_INCOMPLETE',
        `This upload has ${count} parts, and ${parts.length} were named; PUT the missing ones and name them all.`,
      );
    const inOrder = parts.toSorted((a, b) => a.partNumber - b.partNumber);
    await this.store.finishMultipart(staged, upload.s3UploadId, inOrder);
  }

  async abort(caller: Caller, reference: OwnerReference, uploadId: string): Promise<void> {
    const owner = await this.owners.get(caller, reference);
    await this.remove(await this.get(caller, owner, uploadId));
  }

  /** Takes the bytes out of the store first: if that fails the upload is still known, and is tried again. */
  async remove(upload: PendingUpload): Promise<void> {
    const staged = stagingKey(upload.workspaceId, upload.id);
    if (upload.s3UploadId !== null) await this.store.abortMultipart(staged, upload.s3UploadId);
    await this.store.remove(staged);
    await this.uploads.delete(upload);
  }

  private async get(caller: Caller, owner: Owner, uploadId: string): Promise<DigestedUpload> {
    const upload = validate(uploadId) && (await this.uploads.find(caller, owner, uploadId));
    if (!upload || !isDigested(upload))
      throw new DomainError(
        'NOT_FOUND',
        `There is no upload "${uploadId}" here: it was completed, aborted or has expired. Look whether the artifact is there, else begin again.`,
      );
    return upload;
  }
}

type DigestedUpload = PendingUpload & NewArtifact;

function isDigested(upload: PendingUpload): upload is DigestedUpload {
  return upload.sha256 !== null && upload.sizeBytes !== null;
}

function secondsLeft(upload: PendingUpload): number {
  return Math.max(1, Math.floor((upload.expiresAt.getTime() - Date.now()) / 1000));
}
