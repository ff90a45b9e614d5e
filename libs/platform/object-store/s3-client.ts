import { S3Client } from '@aws-sdk/client-s3';

export interface ObjectStoreOptions {
  /** Base URL of an S3-compatible store; undefined: AWS. */
  readonly endpoint: string | undefined;
  /** Base URL in presigned URLs, where clients reach the store at another address. */
  readonly publicEndpoint?: string | undefined;
  readonly region: string;
  readonly bucket: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  /** Objects above this are copied in parts of this size. At most 5 GiB, at least 5 MiB; default 1 GiB. */
  readonly copyPartBytes?: number;
}

const MAX_ATTEMPTS = 3;
const CONNECT_TIMEOUT_MS = 3_000;
/** Longest silence on a connection. Copying a gigabyte and joining parts are silent while they last. */
const IDLE_TIMEOUT_MS = 120_000;

export function createS3Client(options: ObjectStoreOptions, endpoint: string | undefined): S3Client {
  return new S3Client({
    region: options.region,
    credentials: { accessKeyId: options.accessKeyId, secretAccessKey: options.secretAccessKey },
    // Buckets as host names need wildcard DNS, which stores other than AWS rarely have.
    ...(endpoint === undefined ? {} : { endpoint, forcePathStyle: true }),
    // CRC trailers by default (since SDK 3.729) are refused by many S3-compatible stores; the digest is ours.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    maxAttempts: MAX_ATTEMPTS,
    requestHandler: { connectionTimeout: CONNECT_TIMEOUT_MS, socketTimeout: IDLE_TIMEOUT_MS },
  });
}
