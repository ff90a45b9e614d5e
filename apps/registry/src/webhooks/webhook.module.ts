import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import type { Settings } from '#libs/platform/config/settings.js';
import { SecretBox } from '#libs/platform/secrets/secret-box.js';
import { SETTINGS_TOKEN } from '../settings.module.js';
import { Workspace } from '../workspaces/workspace.entity.js';
import { DeliveryRows } from './delivery-rows.js';
import { DeliveryService } from './delivery.service.js';
import { RegistryEvents } from './registry-events.js';
import { WebhookController } from './webhook.controller.js';
import { WebhookDispatcher } from './webhook-dispatcher.js';
import { Webhook } from './webhook.entity.js';
import { WebhookSender } from './webhook-sender.js';
import { WebhookService } from './webhook.service.js';

@Module({
  imports: [TypeOrmModule.forFeature([Workspace, Webhook])],
  controllers: [WebhookController],
  providers: [
    RegistryEvents,
    WebhookService,
    DeliveryService,
    DeliveryRows,
    WebhookSender,
    WebhookDispatcher,
    {
      provide: SecretBox,
      inject: [SETTINGS_TOKEN],
      // Required of the registry at its start (main.ts).
      useFactory: (settings: Settings) => new SecretBox(settings.CATENA_ENCRYPTION_KEYS!),
    },
  ],
  exports: [RegistryEvents, WebhookService],
})
export class WebhookModule {}
