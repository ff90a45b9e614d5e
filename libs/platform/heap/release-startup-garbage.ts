import { Session } from 'node:inspector/promises';

/**
 * Collects all garbage and gives its pages back to the system. Loading modules grows V8's space for new objects to its
 * full size, and a process that is idle from then on would keep it: about 60 MB. It grows again when there is work.
 * Takes a few hundred milliseconds: call it before the process serves. An inspector's request, because that is what
 * Node documents. https://chromedevtools.github.io/devtools-protocol/tot/HeapProfiler/#method-collectGarbage
 */
export async function releaseStartupGarbage(): Promise<void> {
  const session = new Session();
  session.connect();
  try {
    await session.post('HeapProfiler.collectGarbage');
  } finally {
    session.disconnect();
  }
}
