import { Module, type DynamicModule } from '@nestjs/common';
import type { Settings } from '#libs/platform/config/settings.js';

/** Injection token of the frozen `Settings`. */
export const SETTINGS_TOKEN = Symbol('settings');

@Module({})
export class SettingsModule {
  static create(settings: Settings): DynamicModule {
    return {
      module: SettingsModule,
      global: true,
      providers: [{ provide: SETTINGS_TOKEN, useValue: settings }],
      exports: [SETTINGS_TOKEN],
    };
  }
}
