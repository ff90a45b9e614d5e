import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** How many bytes may pass between two collections. */
const COLLECT_EVERY_BYTES = 8 * 1024 * 1024;

let passedBytes = 0;
let collector: NodeJS.GCFunction | undefined;

/**
 * Keeps resident memory flat while bytes stream through. Every read of a socket makes a buffer outside the V8
 * heap; V8 starts collecting only after 64 MiB of them, or once its young generation has filled with the few
 * small objects beside them. Collecting that generation now and then costs a millisecond and frees them.
 * (Starting Node with --max-semi-space-size=1 has the same effect, but on every request, and needs the flag.)
 */
export function streamed(bytes: number): void {
  passedBytes += bytes;
  if (passedBytes < COLLECT_EVERY_BYTES) return;
  passedBytes = 0;
  collector ??= exposeCollector();
  collector({ type: 'minor', execution: 'sync' });
}

function exposeCollector(): NodeJS.GCFunction {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as NodeJS.GCFunction;
  setFlagsFromString('--no-expose-gc');
  return collect;
}
