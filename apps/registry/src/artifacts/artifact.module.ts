import { Module, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import type { Server } from 'node:http';
import type { Settings } from '#libs/platform/config/settings.js';
import { ObjectPresigner } from '#libs/platform/object-store/object-presigner.js';
import { ObjectStore } from '#libs/platform/object-store/object-store.js';
import { SETTINGS_TOKEN } from '../settings.module.js';
import { OwnerLookup } from './artifact-owner.js';
import { ARTIFACT_CONTROLLERS } from './artifact.controller.js';
import { ArtifactRows } from './artifact-rows.js';
import { ArtifactWriter } from './artifact-writer.js';
import { BlobRows } from './blob-rows.js';
import { ExternalStore } from './external-store.js';
import { storeOptions } from './store-options.js';
import { DirectoryRows } from './directory-rows.js';
import { MultipartUploadService } from './multipart-upload.service.js';
import { ArtifactService } from './artifact.service.js';
import { BlobStore } from './blob-store.js';
import { UPLOAD_CONTROLLERS } from './upload.controller.js';
import { UploadRows } from './upload-rows.js';
import { UploadService } from './upload.service.js';
import { UploadSweeper } from './upload-sweeper.js';

/**
 * Node ends every request that takes longer than five minutes to arrive, and large artifacts do. Silence ends an
 * upload much earlier (received-body.ts), and headers still have to arrive within a minute.
 */
const REQUEST_TIMEOUT_MS = 6 * 3_600_000;

@Module({
  controllers: [...ARTIFACT_CONTROLLERS, ...UPLOAD_CONTROLLERS],
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
    DirectoryRows,
    UploadRows,
    BlobRows,
    BlobStore,
    ArtifactWriter,
    ArtifactService,
    UploadService,
    MultipartUploadService,
    ExternalStore,
    UploadSweeper,
  ],
  exports: [ArtifactService, MultipartUploadService, BlobStore, ExternalStore, ObjectStore],
})
export class ArtifactModule implements OnApplicationBootstrap, OnApplicationShutdown {
  constructor(
    private readonly host: HttpAdapterHost,
    private readonly store: ObjectStore,
    private readonly presigner: ObjectPresigner,
    private readonly external: ExternalStore,
  ) {}

  onApplicationBootstrap(): void {
    const server = this.host.httpAdapter.getHttpServer() as Server;
    server.requestTimeout = REQUEST_TIMEOUT_MS;
  }

  onApplicationShutdown(): void {
    // After the last response: downloads under way still read from the store.
    this.store.close();
    this.presigner.close();
    this.external.close();
  }
}
