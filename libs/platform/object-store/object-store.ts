import type { Readable } from 'node:stream';
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadBucketCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  UploadPartCopyCommand,
  type S3Client,
} from '@aws-sdk/client-s3';
import { Upload } from '@aws-sdk/lib-storage';
import {
  attempt,
  isNotFound,
  isNotImplemented,
  isPreconditionFailed,
  isRefusedCompletion,
} from './object-store-errors.js';
import { createS3Client, type ObjectStoreOptions } from './s3-client.js';

export interface StoredObject {
  readonly sizeBytes: number;
  /** Entity tag as the store made it: changes with the bytes, means nothing else. */
  readonly etag: string;
}

export interface ObjectBody extends StoredObject {
  /** Destroy it to stop the transfer. */
  readonly body: Readable;
}

/** First and last byte, both included. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

export interface Part {
  readonly partNumber: number;
  readonly etag: string;
}

/** Something under a prefix that is older than asked. */
export interface StaleItem {
  readonly key: string;
  /** Set for a multipart upload that was never completed. */
  readonly s3UploadId?: string;
}

export interface DirectoryItem {
  readonly name: string;
  /** Of an object; null for a common prefix. */
  readonly sizeBytes: number | null;
}

const MIB = 1024 * 1024;
/** S3's smallest part, two at a time: the SDK holds a few parts at once, and memory must not grow with the stream. */
const WRITE_PART_BYTES = 5 * MIB;
const WRITE_PARALLEL_PARTS = 2;
const MAX_PARTS = 10_000;
/** S3's limit of one PUT. */
const MAX_PUT_BYTES = 5 * 1024 * MIB;
/** Longest stream that `write` takes. */
export const MAX_WRITE_BYTES = WRITE_PART_BYTES * MAX_PARTS;

/**
 * Objects in one bucket of an S3-compatible store. Every failure of the store itself is a
 * DomainError OBJECT_STORE_UNAVAILABLE with the SDK's error as `cause`; retries and time-outs are the SDK's.
 */
export class ObjectStore {
  private readonly client: S3Client;
  private readonly bucket: string;
  private readonly copyPartBytes: number;

  constructor(options: ObjectStoreOptions) {
    this.client = createS3Client(options, options.endpoint);
    this.bucket = options.bucket;
    this.copyPartBytes = options.copyPartBytes ?? 1024 * MIB;
  }

  /** @returns true when the bucket was missing and has been created. */
  async ensureBucket(): Promise<boolean> {
    return attempt('find the bucket', async () => {
      try {
        await this.client.send(new HeadBucketCommand({ Bucket: this.bucket }));
        return false;
      } catch (error) {
        if (!isNotFound(error)) throw error;
        await this.client.send(new CreateBucketCommand({ Bucket: this.bucket }));
        return true;
      }
    });
  }

  async find(key: string): Promise<StoredObject | undefined> {
    return attempt('look up an object', async () => {
      try {
        const head = await this.client.send(new HeadObjectCommand(this.at(key)));
        return { sizeBytes: head.ContentLength ?? 0, etag: head.ETag ?? '' };
      } catch (error) {
        if (isNotFound(error)) return undefined;
        throw error;
      }
    });
  }

  /** Opens an object, or a range of it, which must lie inside. `sizeBytes` is that of the body. */
  async read(key: string, range?: ByteRange): Promise<ObjectBody | undefined> {
    return attempt('read an object', async () => {
      try {
        const got = await this.client.send(
          new GetObjectCommand({
            ...this.at(key),
            ...(range && { Range: `bytes=${range.start}-${range.end}` }),
          }),
        );
        return { body: got.Body as Readable, sizeBytes: got.ContentLength ?? 0, etag: got.ETag ?? '' };
      } catch (error) {
        if (isNotFound(error)) return undefined;
        throw error;
      }
    });
  }

  /**
   * Stores a stream in constant memory: in one request where its length is known and S3 takes it, else in parts,
   * up to `MAX_WRITE_BYTES`. When the stream fails, nothing is stored.
   */
  async write(key: string, body: Readable, sizeBytes: number | undefined): Promise<void> {
    await attempt('store an object', () =>
      sizeBytes !== undefined && sizeBytes <= MAX_PUT_BYTES
        ? this.writeAtOnce(key, body, sizeBytes)
        : this.writeInParts(key, body),
    );
  }

  private async writeAtOnce(key: string, body: Readable, sizeBytes: number): Promise<void> {
    const controller = new AbortController();
    // The SDK pipes the body into its request and does not look when it fails: it would wait for the rest.
    body.once('error', () => controller.abort());
    try {
      await this.client.send(
        new PutObjectCommand({ ...this.at(key), Body: body, ContentLength: sizeBytes }),
        { abortSignal: controller.signal },
      );
    } finally {
      body.destroy();
    }
  }

  private async writeInParts(key: string, body: Readable): Promise<void> {
    await new Upload({
      client: this.client,
      params: { ...this.at(key), Body: body },
      partSize: WRITE_PART_BYTES,
      queueSize: WRITE_PARALLEL_PARTS,
    }).done();
  }

  /**
   * Copies inside the store, but only the bytes that carry `source.etag`.
   * @returns false when they are gone or were replaced since they were looked at.
   */
  async copy(from: string, to: string, source: StoredObject): Promise<boolean> {
    return attempt('copy an object', async () => {
      try {
        if (source.sizeBytes > this.copyPartBytes) await this.copyInParts(from, to, source);
        else
          await this.client.send(
            new CopyObjectCommand({
              ...this.at(to),
              CopySource: `${this.bucket}/${from}`,
              CopySourceIfMatch: source.etag,
            }),
          );
        return true;
      } catch (error) {
        if (isNotFound(error) || isPreconditionFailed(error)) return false;
        throw error;
      }
    });
  }

  /** CopyObject takes at most 5 GiB, and answers late: larger objects are copied part by part. */
  private async copyInParts(from: string, to: string, source: StoredObject): Promise<void> {
    const s3UploadId = await this.beginMultipart(to);
    try {
      const parts: Part[] = [];
      const size = Math.max(this.copyPartBytes, Math.ceil(source.sizeBytes / MAX_PARTS));
      for (let start = 0; start < source.sizeBytes; start += size) {
        const end = Math.min(start + size, source.sizeBytes) - 1;
        const partNumber = parts.length + 1;
        const copied = await this.client.send(
          new UploadPartCopyCommand({
            ...this.at(to),
            UploadId: s3UploadId,
            PartNumber: partNumber,
            CopySource: `${this.bucket}/${from}`,
            CopySourceRange: `bytes=${start}-${end}`,
            CopySourceIfMatch: source.etag,
          }),
        );
        parts.push({ partNumber, etag: copied.CopyPartResult?.ETag ?? '' });
      }
      await this.finishMultipart(to, s3UploadId, parts);
    } catch (error) {
      await this.abortMultipart(to, s3UploadId).catch(() => undefined); // the first error says more
      throw error;
    }
  }

  /** Removing what is not there is no error. */
  async remove(key: string): Promise<void> {
    await attempt('remove an object', () => this.client.send(new DeleteObjectCommand(this.at(key))));
  }

  /** @returns the store's id of the multipart upload. */
  async beginMultipart(key: string): Promise<string> {
    const begun = await attempt('begin an upload', () =>
      this.client.send(new CreateMultipartUploadCommand(this.at(key))),
    );
    return begun.UploadId!;
  }

  /** @returns false when the store refuses the parts: missing, too small, other etags, or the upload is gone. */
  async finishMultipart(key: string, s3UploadId: string, parts: readonly Part[]): Promise<boolean> {
    return attempt('complete an upload', async () => {
      try {
        await this.client.send(
          new CompleteMultipartUploadCommand({
            ...this.at(key),
            UploadId: s3UploadId,
            MultipartUpload: {
              Parts: parts.map((part) => ({ PartNumber: part.partNumber, ETag: part.etag })),
            },
          }),
        );
        return true;
      } catch (error) {
        if (isRefusedCompletion(error)) return false;
        throw error;
      }
    });
  }

  /** Aborting what is gone is no error. */
  async abortMultipart(key: string, s3UploadId: string): Promise<void> {
    await attempt('abort an upload', async () => {
      try {
        await this.client.send(new AbortMultipartUploadCommand({ ...this.at(key), UploadId: s3UploadId }));
      } catch (error) {
        if (!isNotFound(error)) throw error;
      }
    });
  }

  /** Objects and unfinished multipart uploads under a prefix that were made before `before`; at most `limit` of each. */
  async listStale(prefix: string, before: Date, limit: number): Promise<StaleItem[]> {
    return attempt('list objects', async () => {
      const listed = await this.client.send(
        new ListObjectsV2Command({ Bucket: this.bucket, Prefix: prefix, MaxKeys: limit }),
      );
      const objects = (listed.Contents ?? []).filter(
        (item) => item.LastModified && item.LastModified < before,
      );
      return [
        ...objects.map((item) => ({ key: item.Key! })),
        ...(await this.listStaleMultipart(prefix, before, limit)),
      ];
    });
  }

  /** Unfinished multipart uploads under a prefix that were begun before `before`. */
  async listStaleMultipart(prefix: string, before: Date, limit: number): Promise<Required<StaleItem>[]> {
    const uploads = await attempt('list uploads', () => this.listMultipart(prefix, limit));
    return uploads
      .filter((upload) => upload.Initiated && upload.Initiated < before)
      .map((upload) => ({ key: upload.Key!, s3UploadId: upload.UploadId! }));
  }

  /** What lies directly under a prefix that ends with "/" or is empty. @param limit most entries. */
  async listDirectory(prefix: string, limit: number): Promise<DirectoryItem[]> {
    return attempt('list objects', async () => {
      const items: DirectoryItem[] = [];
      let token: string | undefined;
      do {
        const listed = await this.client.send(
          new ListObjectsV2Command({
            Bucket: this.bucket,
            Prefix: prefix,
            Delimiter: '/',
            ContinuationToken: token,
          }),
        );
        for (const { Prefix } of listed.CommonPrefixes ?? [])
          items.push({ name: Prefix!.slice(prefix.length, -1), sizeBytes: null });
        // Some tools mark a directory with an empty object of its name.
        for (const { Key, Size } of listed.Contents ?? [])
          if (Key !== prefix) items.push({ name: Key!.slice(prefix.length), sizeBytes: Size ?? 0 });
        token = listed.IsTruncated ? listed.NextContinuationToken : undefined;
      } while (token !== undefined && items.length < limit);
      return items.slice(0, limit);
    });
  }

  private async listMultipart(prefix: string, limit: number) {
    try {
      const listed = await this.client.send(
        new ListMultipartUploadsCommand({ Bucket: this.bucket, Prefix: prefix, MaxUploads: limit }),
      );
      return listed.Uploads ?? [];
    } catch (error) {
      if (isNotImplemented(error)) return []; // the embedded store: it clears its own at start
      throw error;
    }
  }

  private at(key: string): { Bucket: string; Key: string } {
    return { Bucket: this.bucket, Key: key };
  }

  close(): void {
    this.client.destroy();
  }
}
