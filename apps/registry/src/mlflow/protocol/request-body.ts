import type { IncomingMessage } from 'node:http';
import { createGunzip, createInflate } from 'node:zlib';
import { MlflowError } from './mlflow-error.js';

/**
 * Reads the whole body, uncompressed.
 * @param limit most bytes, before and after decompression
 * @throws MlflowError with status 413 where it is larger.
 */
export function readBody(request: IncomingMessage, limit: number): Promise<Buffer> {
  if (Number(request.headers['content-length'] ?? 0) > limit) return Promise.reject(tooLarge(limit));
  const encoding = request.headers['content-encoding'] ?? 'identity';
  if (encoding === 'identity') return collect(request, limit);
  const inflater =
    encoding === 'gzip' ? createGunzip() : encoding === 'deflate' ? createInflate() : undefined;
  if (inflater === undefined)
    return Promise.reject(
      new MlflowError('BAD_REQUEST', `Content-Encoding must be gzip or deflate, not "${encoding}".`, 415),
    );
  request.once('error', (error) => inflater.destroy(error));
  request.once('aborted', () => inflater.destroy(new Error('aborted')));
  return collect(request.pipe(inflater), limit).finally(() => {
    request.unpipe(inflater);
    inflater.destroy();
  });
}

function collect(stream: NodeJS.ReadableStream, limit: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    const onData = (chunk: Buffer): void => {
      size += chunk.length;
      if (size <= limit) {
        chunks.push(chunk);
        return;
      }
      chunks.length = 0;
      stream.off('data', onData);
      reject(tooLarge(limit));
    };
    stream.on('data', onData);
    stream.once('end', () => resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks, size)));
    stream.once('error', (error: Error & { code?: string }) => reject(unreadable(error)));
    stream.once('close', () => reject(unreadable()));
  });
}

function unreadable(error?: Error): MlflowError {
  return new MlflowError(
    'BAD_REQUEST',
    `The body ended early or is not what its headers say${error === undefined ? '' : ` (${error.message})`}.`,
  );
}

function tooLarge(limit: number): MlflowError {
  return new MlflowError(
    'INVALID_PARAMETER_VALUE',
    `The request body is larger than ${limit} bytes, the limit (CATENA_MAX_BODY_BYTES). Split it up, or log it as an artifact.`,
    413,
  );
}

/**
 * As MLflow does, in its words. It also keeps pages of other origins out: a browser asks before it sends JSON to
 * another origin, and is not answered; text/plain it would just send.
 */
export function requireJson(request: IncomingMessage): void {
  const type = request.headers['content-type'];
  if (type === undefined)
    throw new MlflowError('INVALID_PARAMETER_VALUE', 'Bad Request. Content-Type header is missing.');
  if (type.split(';', 1)[0]!.trim().toLowerCase() !== 'application/json')
    throw new MlflowError(
      'INVALID_PARAMETER_VALUE',
      `Bad Request. Content-Type must be one of ['application/json'].`,
    );
}
