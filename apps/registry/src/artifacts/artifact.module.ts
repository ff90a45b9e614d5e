import { Module, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import type { Server } from 'node:http';
import type { Settings } from '#libs/platform/config/settings.js';
import { ObjectPresigner } from '#libs/platform/object-store/object-presigner.js';
import { ObjectStore } from '#libs/platform/object-store/object-store.js';
import type { ObjectStoreOptions } from '#libs/platform/object-store/s3-client.js';
import { RunModule } from '../runs/run.module.js';
import { SETTINGS_TOKEN } from '../settings.module.js';
import { OwnerLookup } from './artifact-owner.js';
import { ARTIFACT_CONTROLLERS } from './artifact.controller.js';
import { ArtifactRows } from './artifact-rows.js';
import { ArtifactService } from './artifact.service.js';
import { BlobStore } from './blob-store.js';
import { UploadRows } from './upload-rows.js';
import { UploadService } from './upload.service.js';
import { UploadSweeper } from './upload-sweeper.js';

/**
 * Node ends every request that takes longer than five minutes to arrive, and large artifacts do. Silence ends an
 * upload much earlier (received-body.ts), and headers still have to arrive within a minute.
 */
const REQUEST_TIMEOUT_MS = 6 * 3_600_000;

// The keys are required of the registry at its start (main.ts).
const storeOptions = (settings: Settings): ObjectStoreOptions => ({
  endpoint: settings.S3_ENDPOINT,
  publicEndpoint: settings.S3_PUBLIC_ENDPOINT,
  region: settings.AWS_REGION,
  bucket: settings.S3_BUCKET,
  accessKeyId: settings.AWS_ACCESS_KEY_ID!,
  secretAccessKey: settings.AWS_SECRET_ACCESS_KEY!,
});

@Module({
  imports: [RunModule],
  controllers: ARTIFACT_CONTROLLERS,
  providers: [
    {
      provide: ObjectStore,
      inject: [SETTINGS_TOKEN],
      useFactory: (settings: Settings) => new ObjectStore(storeOptions(settings)),
    },
    {
      provide: ObjectPresigner,
      inject: [SETTINGS_TOKEN],
      useFactory: (settings: Settings) => new ObjectPresigner(storeOptions(settings)),
    },
    OwnerLookup,
    ArtifactRows,
    UploadRows,
    BlobStore,
    ArtifactService,
    UploadService,
    UploadSweeper,
  ],
  exports: [ArtifactService],
})
export class ArtifactModule implements OnApplicationBootstrap, OnApplicationShutdown {
  constructor(
    private readonly host: HttpAdapterHost,
    private readonly store: ObjectStore,
    private readonly presigner: ObjectPresigner,
  ) {}

  onApplicationBootstrap(): void {
    const server = this.host.httpAdapter.getHttpServer() as Server;
    server.requestTimeout = REQUEST_TIMEOUT_MS;
  }

  onApplicationShutdown(): void {
    // After the last response: downloads under way still read from the store.
    this.store.close();
    this.presigner.close();
  }
}
