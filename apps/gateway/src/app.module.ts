import { Module, type DynamicModule } from '@nestjs/common';
import type { Settings } from '#libs/platform/config/settings.js';
import type { Logger } from '#libs/platform/log/logger.js';
import { ChatModule } from './chat/chat.module.js';
import { FeedbackModule } from './feedback/feedback.module.js';
import { HealthModule } from './health/health.module.js';
import { HttpModule } from './http/http.module.js';
import { ModelsModule } from './models/models.module.js';
import { ResolveModule } from './resolve/resolve.module.js';
import { SettingsModule } from './settings.module.js';
import { SnapshotModule } from './snapshot/snapshot.module.js';

/** The data plane: Nest wires it and ends it, the routes sit directly on `node:http`. */
@Module({})
export class AppModule {
  static create(settings: Settings, logger: Logger): DynamicModule {
    return {
      module: AppModule,
      imports: [
        SettingsModule.create(settings, logger),
        HttpModule,
        SnapshotModule,
        HealthModule,
        ResolveModule,
        ModelsModule,
        ChatModule,
        FeedbackModule,
      ],
    };
  }
}
