import { mkdir } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import S3rver from '@20minutes/s3rver';
import { answerMissingOperations, removeAbandonedUploads, repairStore } from './embedded-s3-repairs.js';

export const EMBEDDED_S3_CREDENTIALS = { accessKeyId: 'S3RVER', secretAccessKey: 'S3RVER' } as const;

/** An S3 server over the S3 protocol on a local directory; started inside the calling process. */
export async function startEmbeddedS3(
  directory: string,
  port: number,
  bucket: string,
): Promise<{ server: Server; port: number }> {
  await mkdir(directory, { recursive: true });
  const store = new S3rver({ directory, silent: true, configureBuckets: [{ name: bucket, configs: [] }] });
  repairStore(store.store);
  await store.configureBuckets();
  await removeAbandonedUploads(store.store, bucket);
  const server = createServer(answerMissingOperations(store.store, store.callback()));
  await new Promise<void>((resolve, reject) =>
    server.once('error', reject).listen(port, '127.0.0.1', resolve),
  );
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('The S3 server has no port.');
  return { server, port: address.port };
}
