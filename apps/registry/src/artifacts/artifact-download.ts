import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Request, Response } from 'express';
import { DomainError } from '#libs/core/errors/catalogue.js';
import { exactly } from '#libs/platform/object-store/exactly.js';
import type { ByteRange } from '#libs/platform/object-store/object-store.js';
import type { Artifact } from './artifact-rows.js';
import { streamed } from '#libs/platform/streams/buffer-pressure.js';
import { attachment } from './content-headers.js';

/** What of an artifact a download needs. */
type Shown = Pick<Artifact, 'path' | 'sha256' | 'sizeBytes' | 'contentType'>;

/**
 * Answers GET and HEAD of an artifact: 200, 206 for one range, 304 for a known entity tag.
 * When the client goes away, the read from the store is stopped.
 * @throws DomainError RANGE_NOT_SATISFIABLE, OBJECT_STORE_UNAVAILABLE; after the headers it can only cut the connection.
 */
export async function sendArtifact(
  request: Request,
  response: Response,
  artifact: Shown,
  open: (range: ByteRange | undefined) => Promise<{ body: Readable }>,
): Promise<void> {
  const etag = `"${artifact.sha256}"`;
  response.setHeader('etag', etag);
  response.setHeader('cache-control', 'private, no-cache');
  if (isKnown(request.header('if-none-match'), etag)) {
    response.status(304).end();
    return;
  }
  const range = request.method === 'HEAD' ? undefined : rangeOf(request, response, artifact, etag);
  const sizeBytes = range ? range.end - range.start + 1 : artifact.sizeBytes;
  const source = request.method === 'HEAD' ? undefined : await open(range);
  response.status(range ? 206 : 200);
  if (range) response.setHeader('content-range', `bytes ${range.start}-${range.end}/${artifact.sizeBytes}`);
  response.setHeader('accept-ranges', 'bytes');
  response.setHeader('content-length', sizeBytes);
  response.setHeader('content-type', artifact.contentType);
  response.setHeader('content-disposition', attachment(artifact.path));
  // Artifacts come from anybody and are served from the origin of the UI: never let a browser run one.
  response.setHeader('x-content-type-options', 'nosniff');
  response.setHeader('content-security-policy', "default-src 'none'; sandbox");
  if (!source) {
    response.end();
    return;
  }
  try {
    await pipeline(source.body, exactly(sizeBytes, streamed), response);
  } catch (error) {
    if (request.destroyed || request.socket.destroyed) return; // the client went away: nobody to tell
    throw Object.assign(
      new DomainError('OBJECT_STORE_UNAVAILABLE', 'The object store stopped in the middle of a download.'),
      { cause: error },
    );
  }
}

/**
 * Whether If-None-Match names the entity tag (RFC 9110 §13.1.2). Express' `request.fresh` gives up when the client
 * also sends `cache-control: no-cache`, as `fetch` does.
 */
function isKnown(ifNoneMatch: string | undefined, etag: string): boolean {
  const tags = ifNoneMatch?.split(',').map((tag) => tag.trim().replace(/^W\//, '')) ?? [];
  return tags.includes(etag) || tags.includes('*');
}

/**
 * One satisfiable range; undefined for the whole. RFC 9110 §14.2: several ranges, other units and nonsense may be
 * answered with the whole. (`range-parser` refuses a suffix longer than the artifact, which §14.1.2 means whole.)
 */
function rangeOf(request: Request, response: Response, artifact: Shown, etag: string): ByteRange | undefined {
  const condition = request.header('if-range');
  const asked = /^bytes=(\d*)-(\d*)$/i.exec(request.header('range')?.trim() ?? '');
  if (asked === null || (condition !== undefined && condition !== etag)) return undefined;
  const [first = '', last = ''] = asked.slice(1);
  if (first === '' && last === '') return undefined;
  const size = artifact.sizeBytes;
  const start = first === '' ? Math.max(0, size - Number(last)) : Number(first);
  const end = first === '' || last === '' ? size - 1 : Math.min(Number(last), size - 1);
  if (first !== '' && last !== '' && Number(last) < start) return undefined; // not a range, §14.1.1
  if (start <= end) return { start, end };
  response.setHeader('content-range', `bytes */${size}`);
  throw new DomainError(
    'RANGE_NOT_SATISFIABLE',
    `The range "${asked[0]}" lies outside the ${size} bytes of "${artifact.path}".`,
    { sizeBytes: size },
  );
}
