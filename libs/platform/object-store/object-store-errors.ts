import { DomainError } from '../../core/errors/catalogue.js';

/** Runs a request to the store; whatever fails becomes OBJECT_STORE_UNAVAILABLE with the original as `cause`. */
export async function attempt<T>(what: string, request: () => Promise<T>): Promise<T> {
  try {
    return await request();
  } catch (error) {
    if (error instanceof DomainError) throw error;
    throw Object.assign(
      new DomainError(
        'OBJECT_STORE_UNAVAILABLE',
        `The object store could not ${what} (${reasonOf(error)}); nothing was changed. Try again; if it stays so, check S3_ENDPOINT, S3_BUCKET and the keys.`,
      ),
      { cause: error },
    );
  }
}

export function isNotFound(error: unknown): boolean {
  return statusOf(error) === 404;
}

/** The bucket is missing, or belongs to somebody else. */
export function isDenied(error: unknown): boolean {
  return [301, 400, 403, 404].includes(statusOf(error) ?? 0);
}

export function isPreconditionFailed(error: unknown): boolean {
  return statusOf(error) === 412;
}

export function isNotImplemented(error: unknown): boolean {
  return nameOf(error) === 'NotImplemented' || statusOf(error) === 501;
}

/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html, "Errors". */
const REFUSED_COMPLETION = new Set([
  'EntityTooSmall',
  'InvalidPart',
  'InvalidPartOrder',
  'MalformedXML',
  'NoSuchUpload',
]);

export function isRefusedCompletion(error: unknown): boolean {
  return REFUSED_COMPLETION.has(nameOf(error));
}

function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : String(error);
}

/** The socket's error code where there is one, else the store's own code: never its address. */
function reasonOf(error: unknown): string {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' ? code : nameOf(error);
}

function statusOf(error: unknown): number | undefined {
  return (error as { $metadata?: { httpStatusCode?: number } } | null)?.$metadata?.httpStatusCode;
}
