import { NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { readSettings } from '#libs/platform/config/settings.js';
import { AppModule } from './app.module.js';
import { openApiDocument } from './openapi.js';

/** The text of `openapi.json`. Nothing is started or connected: in preview mode Nest only reads the decorators. */
export async function openApiText(): Promise<string> {
  const app = await NestFactory.create<NestExpressApplication>(AppModule.create(readSettings({})), {
    preview: true,
    logger: ['error'],
    abortOnError: false,
  });
  try {
    return `${JSON.stringify(openApiDocument(app), null, 2)}\n`;
  } finally {
    await app.close();
  }
}
