import { MAX_PARTS } from './upload.dto.js';

const MIB = 1024 * 1024;
/** Up to here one PUT carries the bytes. */
const SINGLE_MAX_BYTES = 64 * MIB;
const MIN_PART_BYTES = 16 * MIB;

interface Sized {
  readonly sizeBytes: number;
  readonly partSizeBytes: number | null;
}

/** Size of every part but the last, whole MiB, so that at most `MAX_PARTS` are needed; null for a single PUT. */
export function partSizeOf(sizeBytes: number): number | null {
  if (sizeBytes <= SINGLE_MAX_BYTES) return null;
  return Math.max(MIN_PART_BYTES, Math.ceil(sizeBytes / MAX_PARTS / MIB) * MIB);
}

export function partCountOf(upload: Sized): number | null {
  return upload.partSizeBytes === null ? null : Math.ceil(upload.sizeBytes / upload.partSizeBytes);
}

/** @param partNumber from 1. */
export function sizeOfPart(upload: Sized, partNumber: number): number {
  const size = upload.partSizeBytes ?? upload.sizeBytes;
  return Math.min(size, upload.sizeBytes - (partNumber - 1) * size);
}
