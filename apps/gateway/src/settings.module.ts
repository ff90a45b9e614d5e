import { Module, type DynamicModule } from '@nestjs/common';
import type { Settings } from '#libs/platform/config/settings.js';
import type { Logger } from '#libs/platform/log/logger.js';

/** Injection token of the frozen `Settings`. */
export const SETTINGS_TOKEN = Symbol('settings');
/** Injection token of the process's `Logger`. */
export const LOGGER_TOKEN = Symbol('logger');

@Module({})
export class SettingsModule {
  static create(settings: Settings, logger: Logger): DynamicModule {
    return {
      module: SettingsModule,
      global: true,
      providers: [
        { provide: SETTINGS_TOKEN, useValue: settings },
        { provide: LOGGER_TOKEN, useValue: logger },
      ],
      exports: [SETTINGS_TOKEN, LOGGER_TOKEN],
    };
  }
}
