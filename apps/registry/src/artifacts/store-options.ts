import type { Settings } from '#libs/platform/config/settings.js';
import type { ObjectStoreOptions } from '#libs/platform/object-store/s3-client.js';

/** The registry's own bucket. The keys are required of the registry at its start (main.ts). */
export const storeOptions = (settings: Settings): ObjectStoreOptions => ({
  endpoint: settings.S3_ENDPOINT,
  publicEndpoint: settings.S3_PUBLIC_ENDPOINT,
  region: settings.AWS_REGION,
  bucket: settings.S3_BUCKET,
  accessKeyId: settings.AWS_ACCESS_KEY_ID!,
  secretAccessKey: settings.AWS_SECRET_ACCESS_KEY!,
});
