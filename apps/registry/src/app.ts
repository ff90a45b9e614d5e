import 'reflect-metadata';
import { randomUUID } from 'node:crypto';
import { NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import type { NextFunction, Request, Response } from 'express';
import { registryKey } from '#libs/platform/access/access.js';
import { AllowedHosts } from '#libs/platform/access/allowed-hosts.js';
import type { Settings } from '#libs/platform/config/settings.js';
import type { Logger } from '#libs/platform/log/logger.js';
import { NestLogger } from '#libs/platform/log/nest-logger.js';
import { AppModule } from './app.module.js';
import { ErrorFilter } from './http/error.filter.js';
import { gate } from './http/gate.js';
import { isJsonBody, refuseOtherBodies } from './http/json-body.js';
import { answerMalformed } from './http/malformed.js';
import { refuseIllFormedBytes, refuseIllFormedText } from './http/well-formed.js';
import { validationPipe } from './http/validation.pipe.js';
import { MlflowProtocol } from './mlflow/protocol/mlflow-protocol.js';
import { mountOpenApi } from './openapi.js';

/** Builds the registry, ready to listen. The schema must be up to date. */
export async function createApp(settings: Settings, logger: Logger): Promise<NestExpressApplication> {
  const app = await NestFactory.create<NestExpressApplication>(AppModule.create(settings), {
    logger: new NestLogger(logger),
    bodyParser: false,
    abortOnError: false,
  });
  app.disable('x-powered-by');
  app.set('query parser', 'simple');
  app.use(requestId);
  app.use(gate(new AllowedHosts(settings), registryKey(settings)));
  // Before the rules for native bodies, which are not MLflow's.
  app.use(app.get(MlflowProtocol).middleware(settings.CATENA_MAX_BODY_BYTES));
  // Nest's type keeps `verify` for its option `rawBody`, which is not used here.
  const json = { limit: settings.CATENA_MAX_BODY_BYTES, type: isJsonBody, verify: refuseIllFormedBytes };
  app.useBodyParser('json', json);
  app.use(refuseOtherBodies);
  app.use(refuseIllFormedText);
  app.useGlobalPipes(validationPipe());
  app.useGlobalFilters(new ErrorFilter(logger));
  mountOpenApi(app);
  app.getHttpServer().on('clientError', answerMalformed);
  app.enableShutdownHooks();
  return app;
}

const REQUEST_ID = /^[\x21-\x7e]{1,128}$/;

/** Takes over the caller's request id where it is usable, else makes one, and always answers it. */
function requestId(request: Request, response: Response, next: NextFunction): void {
  const given = request.header('x-request-id');
  response.setHeader('x-request-id', given !== undefined && REQUEST_ID.test(given) ? given : randomUUID());
  next();
}
