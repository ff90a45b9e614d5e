declare module '@20minutes/s3rver' {
  import type { RequestListener } from 'node:http';
  import type { Readable } from 'node:stream';

  namespace S3rver {
    interface StoredObject {
      content: Readable | null;
      readonly range?: { readonly start: number; readonly end: number };
      readonly metadata: Readonly<Record<string, unknown>>;
    }
    interface Store {
      getResourcePath(bucket: string, key: string | undefined, resource: string): string;
      getMetadata(bucket: string, key: string): Promise<{ etag: string }>;
      getObject(
        bucket: string,
        key: string,
        options?: { start?: number; end?: number | string },
      ): Promise<StoredObject | null>;
      putContent(path: string, content: Buffer | Readable): Promise<[number, string]>;
      putObjectMultipart(
        bucket: string,
        uploadId: string,
        parts: { number: number; etag: string }[],
      ): Promise<{ size: number; md5: string }>;
      copyObject(
        fromBucket: string,
        fromKey: string,
        toBucket: string,
        toKey: string,
        metadata: object | null,
      ): Promise<unknown>;
    }
  }

  class S3rver {
    constructor(options: {
      directory: string;
      silent?: boolean;
      configureBuckets?: { name: string; configs?: (string | Buffer)[] }[];
    });
    readonly store: S3rver.Store;
    configureBuckets(): Promise<void>;
    callback(): RequestListener;
  }
  export default S3rver;
}

declare module '@20minutes/s3rver/lib/models/error.js' {
  export default class S3Error extends Error {
    constructor(code: string, message: string, detail?: object);
    readonly status: number;
    toXML(): string;
  }
}
