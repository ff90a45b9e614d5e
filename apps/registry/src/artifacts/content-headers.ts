import { create } from 'content-disposition';
import { fileNameOf } from './artifact-path.js';

/** Content-Disposition (RFC 6266) that saves a download under the last segment of its path. */
export function attachment(path: string): string {
  return create(fileNameOf(path));
}
