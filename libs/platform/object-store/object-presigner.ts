import { GetObjectCommand, PutObjectCommand, UploadPartCommand, type S3Client } from '@aws-sdk/client-s3';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import { createS3Client, type ObjectStoreOptions } from './s3-client.js';

/** URLs that let their holder do one thing until they expire. Signing needs no request to the store. */
export class ObjectPresigner {
  private readonly client: S3Client;
  private readonly bucket: string;

  constructor(options: ObjectStoreOptions) {
    this.client = createS3Client(options, options.publicEndpoint ?? options.endpoint);
    this.bucket = options.bucket;
  }

  /** The length is signed too: the URL stores exactly so many bytes, or nothing. */
  async put(key: string, sizeBytes: number, expiresInSeconds: number): Promise<string> {
    return getSignedUrl(
      this.client,
      new PutObjectCommand({ Bucket: this.bucket, Key: key, ContentLength: sizeBytes }),
      { expiresIn: expiresInSeconds },
    );
  }

  /** @param sizeBytes signed too where it is known. */
  async putPart(
    key: string,
    s3UploadId: string,
    partNumber: number,
    sizeBytes: number | undefined,
    expiresInSeconds: number,
  ): Promise<string> {
    return getSignedUrl(
      this.client,
      new UploadPartCommand({
        Bucket: this.bucket,
        Key: key,
        UploadId: s3UploadId,
        PartNumber: partNumber,
        ContentLength: sizeBytes,
      }),
      { expiresIn: expiresInSeconds },
    );
  }

  /** The store answers with these headers, whatever it was stored with. */
  async get(
    key: string,
    headers: { contentType: string; contentDisposition: string },
    expiresInSeconds: number,
  ): Promise<string> {
    return getSignedUrl(
      this.client,
      new GetObjectCommand({
        Bucket: this.bucket,
        Key: key,
        ResponseContentType: headers.contentType,
        ResponseContentDisposition: headers.contentDisposition,
      }),
      { expiresIn: expiresInSeconds },
    );
  }

  close(): void {
    this.client.destroy();
  }
}
