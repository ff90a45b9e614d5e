import { Module, type DynamicModule } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import type { Settings } from '#libs/platform/config/settings.js';
import { dataSourceOptions } from '#libs/platform/database/data-source.js';
import { AbTestModule } from './ab-tests/ab-test.module.js';
import { SteeringModule } from './ab-tests/steering/steering.module.js';
import { AdapterModule } from './adapters/adapter.module.js';
import { ApiKeyModule } from './api-keys/api-key.module.js';
import { ArchiveModule } from './archive/archive.module.js';
import { ArrivalsModule } from './arrivals/arrivals.module.js';
import { ArtifactModule } from './artifacts/artifact.module.js';
import { DatasetModule } from './datasets/dataset.module.js';
import { EntriesModule } from './entries/entries.module.js';
import { EndpointModule } from './endpoints/endpoint.module.js';
import { FeedbackModule } from './feedback/feedback.module.js';
import { ExportModule } from './export/export.module.js';
import { HealthController } from './health/health.controller.js';
import { InferenceModule } from './inferences/inference.module.js';
import { KafkaModule } from './kafka/kafka.module.js';
import { LimitModule } from './limits/limit.module.js';
import { LoggedModelModule } from './logged-models/logged-model.module.js';
import { MlflowLoggedModelModule } from './mlflow/logged-models/mlflow-logged-model.module.js';
import { MlflowArtifactModule } from './mlflow/artifacts/mlflow-artifact.module.js';
import { MlflowProtocolModule } from './mlflow/protocol/protocol.module.js';
import { MlflowTrackingModule } from './mlflow/tracking/tracking.module.js';
import { MlflowRegistryModule } from './mlflow/registry/mlflow-registry.module.js';
import { MlflowGenAiModule } from './mlflow/genai/mlflow-genai.module.js';
import { ModelPriceModule } from './model-prices/model-price.module.js';
import { ModelEndpointModule } from './model-endpoints/model-endpoint.module.js';
import { RunModule } from './runs/run.module.js';
import { SeriesModule } from './series/series.module.js';
import { SettingsModule } from './settings.module.js';
import { MlflowWebhookModule } from './mlflow/webhooks/mlflow-webhook.module.js';
import { TelemetryModule } from './telemetry/telemetry.module.js';
import { WebhookModule } from './webhooks/webhook.module.js';

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
            statementTimeoutMs: settings.CATENA_STATEMENT_TIMEOUT_MS,
          }),
          autoLoadEntities: true,
          retryAttempts: 1,
        }),
        TelemetryModule,
        ArrivalsModule,
        ArchiveModule,
        EntriesModule,
        RunModule,
        DatasetModule,
        ArtifactModule,
        ModelPriceModule,
        ModelEndpointModule,
        AdapterModule,
        EndpointModule,
        AbTestModule,
        SteeringModule,
        ApiKeyModule,
        LimitModule,
        // Before InferenceModule, whose route of an id takes any word.
        ExportModule,
        InferenceModule,
        FeedbackModule,
        KafkaModule.create(settings),
        SeriesModule,
        WebhookModule,
        MlflowWebhookModule,
        MlflowProtocolModule,
        MlflowRegistryModule,
        MlflowArtifactModule,
        LoggedModelModule,
        MlflowLoggedModelModule,
        MlflowTrackingModule,
        MlflowGenAiModule,
      ],
      controllers: [HealthController],
    };
  }
}
