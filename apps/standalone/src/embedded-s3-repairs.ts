/**
 * What s3rver 5.0 lacks of S3 and the registry relies on. Each repair names what happens without it.
 */
import { randomUUID } from 'node:crypto';
import { access, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { join } from 'node:path';
import type S3rver from '@20minutes/s3rver';
import S3Error from '@20minutes/s3rver/lib/models/error.js';

type Store = S3rver.Store;

const UPLOAD_ID = /^[0-9a-f]{32}$/;
const ABANDONED_AFTER_MS = 7 * 24 * 3_600_000;

export function repairStore(store: Store): void {
  putWholeOrNotAtAll(store);
  copyWholeOrNotAtAll(store);
  refuseIncompleteParts(store);
  readFirstByte(store);
}

/** Without it a PUT that is cut half way leaves the half under its key, and readers see a write in progress. */
function putWholeOrNotAtAll(store: Store): void {
  const put = store.putContent.bind(store);
  store.putContent = async (path, content) => {
    const draft = `${path}.${randomUUID()}.draft`;
    try {
      const stored = await put(draft, content);
      await rename(draft, path);
      return stored;
    } catch (error) {
      await rm(draft, { force: true });
      throw error;
    }
  };
}

/** Without it a copy over an existing object shows its readers an empty, then a growing file. */
function copyWholeOrNotAtAll(store: Store): void {
  const copy = store.copyObject.bind(store);
  store.copyObject = async (fromBucket, fromKey, toBucket, toKey, metadata) => {
    const draftKey = `${toKey}.${randomUUID()}.draft`;
    await copy(fromBucket, fromKey, toBucket, draftKey, metadata);
    for (const resource of ['metadata.json', 'object.md5', 'object'])
      await rename(
        store.getResourcePath(toBucket, draftKey, resource),
        store.getResourcePath(toBucket, toKey, resource),
      );
    return store.getMetadata(toBucket, toKey);
  };
}

/** Without it completing with a part that was never sent ends the whole process: a stream error nobody handles. */
function refuseIncompleteParts(store: Store): void {
  const complete = store.putObjectMultipart.bind(store);
  store.putObjectMultipart = async (bucket, uploadId, parts) => {
    const directory = await uploadDirectory(store, bucket, uploadId);
    if (directory === undefined) throw noSuchUpload();
    for (const part of parts) {
      const md5 = await readFile(join(directory, `${part.number}.md5`), 'utf8').catch(() => undefined);
      if (md5 === undefined || md5 !== part.etag)
        throw new S3Error('InvalidPart', `Part ${part.number} was not uploaded with this entity tag.`);
    }
    return complete(bucket, uploadId, parts);
  };
}

/** Without it `bytes=0-0` is answered with the whole object: the end 0 counts as absent. */
function readFirstByte(store: Store): void {
  const get = store.getObject.bind(store);
  store.getObject = (bucket, key, options) =>
    get(bucket, key, options?.end === 0 ? { ...options, end: '0' } : options);
}

/** Adds AbortMultipartUpload, and the precondition of CopyObject, in front of s3rver's own routes. */
export function answerMissingOperations(store: Store, next: RequestListener): RequestListener {
  return (request, response) => {
    acceptBucketRequests(request);
    void forward(store, next, request, response);
  };
}

async function forward(
  store: Store,
  next: RequestListener,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  try {
    const status = await answer(store, request);
    if (status !== undefined) response.writeHead(status).end();
    else next(request, response);
  } catch (error) {
    refuse(response, error);
  }
}

/**
 * Without it every request for a bucket (find, create, list) is refused: the SDK signs `/bucket/`, s3rver checks
 * `/bucket`. It takes unsigned requests anyway, so the signature is no loss.
 */
function acceptBucketRequests(request: IncomingMessage): void {
  if (/^\/[^/?]+\/?(\?|$)/.test(request.url ?? '')) delete request.headers.authorization;
}

async function answer(store: Store, request: IncomingMessage): Promise<number | undefined> {
  const url = new URL(request.url ?? '/', 'http://s3');
  const bucket = url.pathname.split('/')[1] ?? '';
  const uploadId = url.searchParams.get('uploadId');
  if (request.method === 'DELETE' && uploadId !== null) {
    const directory = await uploadDirectory(store, bucket, uploadId);
    if (directory === undefined) throw noSuchUpload();
    await rm(directory, { recursive: true, force: true });
    return 204;
  }
  const [source, etag] = [
    request.headers['x-amz-copy-source'],
    request.headers['x-amz-copy-source-if-match'],
  ];
  if (request.method === 'PUT' && typeof source === 'string' && typeof etag === 'string') {
    const [fromBucket = '', ...key] = decodeURIComponent(source).replace(/^\//, '').split('/');
    const found = await store.getMetadata(fromBucket, key.join('/')).catch(() => undefined);
    if (found && found.etag !== etag)
      throw new S3Error('PreconditionFailed', 'The source of the copy has another entity tag.');
  }
  return undefined;
}

function refuse(response: ServerResponse, error: unknown): void {
  const known = error instanceof S3Error ? error : new S3Error('InternalError', String(error));
  response.writeHead(known.status, { 'content-type': 'application/xml' }).end(known.toXML());
}

/** Parts of uploads that nobody completed or aborted, for instance because the registry was killed. */
export async function removeAbandonedUploads(store: Store, bucket: string): Promise<void> {
  const directory = store.getResourcePath(bucket, undefined, 'uploads');
  for (const name of await readdir(directory).catch(() => [])) {
    const path = join(directory, name);
    const { mtimeMs } = await stat(path);
    if (mtimeMs < Date.now() - ABANDONED_AFTER_MS) await rm(path, { recursive: true, force: true });
  }
}

async function uploadDirectory(store: Store, bucket: string, uploadId: string): Promise<string | undefined> {
  if (!UPLOAD_ID.test(uploadId)) return undefined;
  const directory = join(store.getResourcePath(bucket, undefined, 'uploads'), uploadId);
  return access(directory).then(
    () => directory,
    () => undefined,
  );
}

function noSuchUpload(): S3Error {
  return new S3Error('NoSuchUpload', 'There is no such multipart upload, or it was completed or aborted.');
}
