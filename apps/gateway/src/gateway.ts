import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import type { INestApplicationContext } from '@nestjs/common';
import type { Settings } from '#libs/platform/config/settings.js';
import { readInt8AsNumber } from '#libs/platform/database/int8.js';
import type { Logger } from '#libs/platform/log/logger.js';
import { NestLogger } from '#libs/platform/log/nest-logger.js';
import { AppModule } from './app.module.js';
import { HttpServer } from './http/http-server.js';

export interface Gateway {
  /** Base URL it listens on. */
  readonly url: string;
  readonly app: INestApplicationContext;
  /** Stops accepting, lets requests in flight end, then closes what they used. */
  close(): Promise<void>;
}

/** Builds the gateway and listens. It starts without a database too: from its disk, or not ready until one answers. */
export async function createGateway(settings: Settings, logger: Logger): Promise<Gateway> {
  readInt8AsNumber();
  const app = await NestFactory.createApplicationContext(AppModule.create(settings, logger), {
    logger: new NestLogger(logger),
    abortOnError: false,
  });
  try {
    const url = await app.get(HttpServer, { strict: false }).listen();
    return { url, app, close: () => app.close() };
  } catch (error) {
    await app.close();
    throw error;
  }
}
