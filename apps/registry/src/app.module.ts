import { Module, type DynamicModule } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import type { Settings } from '#libs/platform/config/settings.js';
import { dataSourceOptions } from '#libs/platform/database/data-source.js';
import { ArtifactModule } from './artifacts/artifact.module.js';
import { EntriesModule } from './entries/entries.module.js';
import { EndpointModule } from './endpoints/endpoint.module.js';
import { HealthController } from './health/health.controller.js';
import { InferenceModule } from './inferences/inference.module.js';
import { ModelEndpointModule } from './model-endpoints/model-endpoint.module.js';
import { RunModule } from './runs/run.module.js';
import { SettingsModule } from './settings.module.js';

/** The control plane: one module per noun. */
@Module({})
export class AppModule {
  static create(settings: Settings): DynamicModule {
    return {
      module: AppModule,
      imports: [
        SettingsModule.create(settings),
        TypeOrmModule.forRoot({
          ...dataSourceOptions({
            url: settings.DATABASE_URL!,
            poolSize: settings.CATENA_DATABASE_POOL,
            applicationName: 'catena-registry',
          }),
          autoLoadEntities: true,
          retryAttempts: 1,
        }),
        EntriesModule,
        RunModule,
        ArtifactModule,
        ModelEndpointModule,
        EndpointModule,
        InferenceModule,
      ],
      controllers: [HealthController],
    };
  }
}
