import { Injectable } from '@nestjs/common';
import { v7, validate } from 'uuid';
import { DomainError } from '#libs/core/errors/catalogue.js';
import { ObjectPresigner } from '#libs/platform/object-store/object-presigner.js';
import { ObjectStore, type Part } from '#libs/platform/object-store/object-store.js';
import type { Caller } from '../http/caller.js';
import { guessedType } from './guessed-type.js';
import { isImmutable, OwnerLookup, type Owner, type OwnerReference } from './artifact-owner.js';
import { toArtifactDto, type Added } from './artifact.service.js';
import { ArtifactWriter } from './artifact-writer.js';
import { BlobStore, stagingKey } from './blob-store.js';
import { MAX_PARTS } from './upload.dto.js';
import { UploadRows, type PendingUpload } from './upload-rows.js';
import { UPLOAD_TTL_MS } from './upload.service.js';

/** How long the outcome of an upload is remembered for a client that asks for it again. */
const REMEMBER_MS = 600_000;

export interface BegunMultipart {
  readonly uploadId: string;
  /** Where to PUT part 1, 2, … */
  readonly urls: readonly string[];
}

/**
 * Multipart uploads by presigned URLs whose digest nobody tells beforehand: the bytes are taken as they come, and
 * read back once to learn it.
 */
@Injectable()
export class MultipartUploadService {
  private readonly completing = new Map<string, Promise<Added>>();

  constructor(
    private readonly owners: OwnerLookup,
    private readonly writer: ArtifactWriter,
    private readonly uploads: UploadRows,
    private readonly blobs: BlobStore,
    private readonly store: ObjectStore,
    private readonly presigner: ObjectPresigner,
  ) {}

  /** @throws DomainError VALIDATION_FAILED, IMMUTABLE: versions take bytes by digest only. */
  async begin(
    caller: Caller,
    reference: OwnerReference,
    given: { path: string; partCount: number; contentType?: string },
  ): Promise<BegunMultipart> {
    if (!Number.isInteger(given.partCount) || given.partCount < 1 || given.partCount > MAX_PARTS)
      throw new DomainError('VALIDATION_FAILED', `An upload has 1 to ${MAX_PARTS} parts.`);
    const owner = await this.owners.getWritable(caller, reference);
    if (isImmutable(owner))
      throw new DomainError('IMMUTABLE', 'Artifacts of versions are uploaded natively, with their digest.');
    const id = v7();
    const key = stagingKey(caller.workspaceId, id);
    const s3UploadId = await this.store.beginMultipart(key);
    await this.uploads.insert(caller, owner, {
      id,
      workspaceId: caller.workspaceId,
      path: given.path,
      contentType: given.contentType ?? guessedType(given.path),
      sha256: null,
      sizeBytes: null,
      partSizeBytes: null,
      s3UploadId,
      expiresAt: new Date(Date.now() + UPLOAD_TTL_MS),
    });
    const numbers = Array.from({ length: given.partCount }, (_, index) => index + 1);
    const urls = await Promise.all(
      numbers.map((number) =>
        this.presigner.putPart(key, s3UploadId, number, undefined, UPLOAD_TTL_MS / 1000),
      ),
    );
    return { uploadId: id, urls };
  }

  /** Reading back may outlast a client's patience: one that asks again waits for the same outcome. */
  async complete(
    caller: Caller,
    reference: OwnerReference,
    path: string,
    uploadId: string,
    parts: readonly Part[],
  ): Promise<Added> {
    const owner = await this.owners.getWritable(caller, reference);
    const id = `${caller.workspaceId}/${owner.id}/${path}/${uploadId}`;
    const known = this.completing.get(id);
    if (known) return known;
    const outcome = this.finish(caller, owner, path, uploadId, parts);
    this.completing.set(id, outcome);
    outcome.then(
      () => setTimeout(() => this.completing.delete(id), REMEMBER_MS).unref(),
      () => this.completing.delete(id),
    );
    return outcome;
  }

  private async finish(
    caller: Caller,
    owner: Owner,
    path: string,
    uploadId: string,
    parts: readonly Part[],
  ): Promise<Added> {
    const upload = await this.get(caller, owner, path, uploadId);
    const staged = stagingKey(caller.workspaceId, upload.id);
    const inOrder = parts.toSorted((a, b) => a.partNumber - b.partNumber);
    const joined = await this.store.finishMultipart(staged, upload.s3UploadId!, inOrder);
    // Refused parts may have been joined by an earlier attempt: what is staged tells.
    const object = await this.blobs.verify(staged);
    if (!object)
      throw new DomainError(
        'UPLOAD_INCOMPLETE',
        `The store ${joined ? 'lost the upload' : 'does not hold all parts with these entity tags'}; upload them again.`,
      );
    const objectKey = await this.blobs.copy(caller.workspaceId, staged, object);
    const { sha256, sizeBytes } = object;
    const given = { path, contentType: upload.contentType, sha256, sizeBytes };
    const { created, artifact } = await this.writer.add(caller, owner, given, objectKey, upload.id);
    await this.blobs.discardStaged(staged);
    return { created, artifact: toArtifactDto(artifact) };
  }

  async abort(caller: Caller, reference: OwnerReference, path: string, uploadId: string): Promise<void> {
    const owner = await this.owners.get(caller, reference);
    const upload = await this.get(caller, owner, path, uploadId);
    const staged = stagingKey(upload.workspaceId, upload.id);
    await this.store.abortMultipart(staged, upload.s3UploadId!);
    await this.store.remove(staged);
    await this.uploads.delete(upload);
  }

  private async get(caller: Caller, owner: Owner, path: string, uploadId: string): Promise<PendingUpload> {
    const upload = validate(uploadId) && (await this.uploads.find(caller, owner, uploadId));
    if (!upload || upload.sha256 !== null || upload.path !== path)
      throw new DomainError(
        'NOT_FOUND',
        `There is no multipart upload "${uploadId}" of "${path}": it was completed, aborted or has expired.`,
      );
    return upload;
  }
}
