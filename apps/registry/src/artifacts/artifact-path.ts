/** Longest path of an artifact, in bytes of UTF-8. */
export const MAX_PATH_BYTES = 512;

/** C0, DEL and C1 controls, and the line and paragraph separators. */
const CONTROL = /[\p{Cc}\p{Zl}\p{Zp}]/u;
/** Escapes that a client which decodes once too often turns into dots, separators or NUL. */
const ESCAPED = /%(?:2e|2f|5c|00)/i;
const DRIVE = /^[A-Za-z]:/;

/**
 * What is wrong with a path inside an owner, or undefined. Paths never reach a file system here, but clients
 * download whole trees: what is accepted must be safe to join to a directory on any platform.
 */
export function problemOfPath(path: string): string | undefined {
  if (path === '') return 'must not be empty';
  if (!path.isWellFormed()) return 'must be well-formed Unicode';
  if (Buffer.byteLength(path) > MAX_PATH_BYTES) return `must have at most ${MAX_PATH_BYTES} bytes of UTF-8`;
  if (CONTROL.test(path)) return 'must not contain control characters';
  if (path.includes('\\')) return 'must use "/" between segments, never "\\"';
  if (ESCAPED.test(path)) return 'must not contain percent-encoded dots, slashes or NUL; encode it once';
  if (path.startsWith('/') || DRIVE.test(path)) return 'must be relative, without a leading "/" or drive';
  for (const segment of path.split('/')) {
    if (segment === '') return 'must not contain empty segments ("//") or end with "/"';
    if (segment === '.' || segment === '..') return 'must not contain the segments "." or ".."';
  }
  return undefined;
}

/** Last segment of a path: the name a download is saved under. */
export function fileNameOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}
