import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import type { Settings } from '#libs/platform/config/settings.js';
import { SecretBox } from '#libs/platform/secrets/secret-box.js';
import { ModelPriceModule } from '../model-prices/model-price.module.js';
import { SETTINGS_TOKEN } from '../settings.module.js';
import { Workspace } from '../workspaces/workspace.entity.js';
import { ModelDiscoveryService } from './model-discovery.service.js';
import { ModelEndpointController } from './model-endpoint.controller.js';
import { ModelEndpoint } from './model-endpoint.entity.js';
import { ModelEndpointService } from './model-endpoint.service.js';
import { ReplicaCaller } from './replica-caller.js';
import { Replica } from './replica.entity.js';

@Module({
  imports: [ModelPriceModule, TypeOrmModule.forFeature([Workspace, ModelEndpoint, Replica])],
  controllers: [ModelEndpointController],
  providers: [
    ModelEndpointService,
    ModelDiscoveryService,
    ReplicaCaller,
    {
      provide: SecretBox,
      inject: [SETTINGS_TOKEN],
      // Required of the registry at its start (main.ts).
      useFactory: (settings: Settings) => new SecretBox(settings.CATENA_ENCRYPTION_KEYS!),
    },
  ],
  exports: [ModelEndpointService, ReplicaCaller],
})
export class ModelEndpointModule {}
