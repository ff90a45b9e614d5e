/**
 * What s3rver 5.0 lacks of S3 and the registry relies on. Each repair names what happens without it.
 */
import { randomUUID } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { access, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type S3rver from '@20minutes/s3rver';
import S3Error from '@20minutes/s3rver/lib/models/error.js';
import { streamed } from '#libs/platform/streams/buffer-pressure.js';

type Store = S3rver.Store;

const UPLOAD_ID = /^[0-9a-f]{32}$/;
const ABANDONED_AFTER_MS = 7 * 24 * 3_600_000;

export function repairStore(store: Store): void {
  putWholeOrNotAtAll(store);
  copyWholeOrNotAtAll(store);
  refuseIncompleteParts(store);
  readInBlocks(store);
}

/** Read and written at once: with s3rver's 64 KiB most of the time goes into asking for them. */
const BLOCK_BYTES = 1024 * 1024;

/**
 * Without it a PUT that is cut half way leaves the half under its key, and readers see a write in progress. The
 * entity tag changes with every write and says nothing else: the MD5 that s3rver makes it of takes longer than all
 * the rest, and S3 promises none (https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html).
 */
function putWholeOrNotAtAll(store: Store): void {
  store.putContent = async (path, content) => {
    const draft = `${path}.${randomUUID()}.draft`;
    try {
      const size = await writeFile(draft, content);
      await rename(draft, path);
      return [size, randomUUID().replaceAll('-', '')];
    } catch (error) {
      await rm(draft, { force: true });
      throw error;
    }
  };
}

/** @returns how many bytes that were. */
async function writeFile(path: string, content: Buffer | Readable): Promise<number> {
  const file = createWriteStream(path, { highWaterMark: BLOCK_BYTES });
  await pipeline(Buffer.isBuffer(content) ? [content] : content, counted, file);
  return file.bytesWritten;
}

async function* counted(source: AsyncIterable<Buffer> | Iterable<Buffer>): AsyncGenerator<Buffer> {
  for await (const chunk of source) {
    streamed(chunk.length);
    yield chunk;
  }
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

/**
 * Without it `bytes=0-0` is answered with the whole object: the end 0 counts as absent. Objects are read in larger
 * blocks than s3rver does.
 */
function readInBlocks(store: Store): void {
  const get = store.getObject.bind(store);
  store.getObject = async (bucket, key, options) => {
    const file = await open(store.getResourcePath(bucket, key, 'object')).catch(() => undefined);
    const object = await get(bucket, key, options?.end === 0 ? { ...options, end: '0' } : options);
    // An empty object has no last byte to read to.
    if (!file || !object?.content || Number(object.metadata['content-length']) === 0) {
      await file?.close();
      return object;
    }
    object.content.destroy();
    const { start, end } = object.range ?? { start: 0, end: Number(object.metadata['content-length']) - 1 };
    object.content = file.createReadStream({ start, end, highWaterMark: BLOCK_BYTES });
    object.content.on('data', (block: Buffer) => streamed(block.length)).pause();
    return object;
  };
}

/** Adds AbortMultipartUpload, and the precondition of CopyObject, in front of s3rver's own routes. */
export function answerMissingOperations(store: Store, next: RequestListener): RequestListener {
  return (request, response) => {
    acceptBucketRequests(request);
    acceptNamesInQueries(request, response);
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

/** What `encodeURIComponent` leaves as it is, and S3's signatures encode: RFC 3986 §2.3 reserves them. */
const MISCALCULATED = /[!'()*]|%(?:21|27|28|29|2A)/i;

/**
 * Without it presigned downloads whose file name is not plain are refused: s3rver calculates another signature for
 * `filename*=UTF-8''…` and for parentheses. It takes unsigned requests anyway, but then overrides no headers: both
 * are done here.
 */
function acceptNamesInQueries(request: IncomingMessage, response: ServerResponse): void {
  const [path = '', query = ''] = (request.url ?? '').split('?', 2);
  if (request.method !== 'GET' || !query.includes('X-Amz-Signature=') || !MISCALCULATED.test(query)) return;
  const headers = [...new URLSearchParams(query)].flatMap(([name, value]) =>
    name.startsWith('response-content-') ? [[name.slice('response-'.length), value] as const] : [],
  );
  request.url = path;
  const writeHead = response.writeHead.bind(response) as (...given: unknown[]) => ServerResponse;
  response.writeHead = (...given: unknown[]) => {
    if (response.statusCode < 300) for (const [name, value] of headers) response.setHeader(name, value);
    return writeHead(...given);
  };
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
