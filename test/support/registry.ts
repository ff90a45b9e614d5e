import type { NestExpressApplication } from '@nestjs/platform-express';
import { inject } from 'vitest';
import { createApp } from '../../apps/registry/src/app.js';
import { readSettings, type Settings } from '../../libs/platform/config/settings.js';
import { createLogger, type Logger } from '../../libs/platform/log/logger.js';
import { createTestDatabase, type TestDatabase } from './database.js';
import { TEST_ENCRYPTION_KEYS } from './keys.js';

export { TEST_ENCRYPTION_KEYS };

export interface Answer<T = any> {
  readonly status: number;
  readonly body: T;
  readonly headers: Headers;
}

export interface TestRegistry {
  readonly url: string;
  readonly settings: Settings;
  readonly database: TestDatabase;
  readonly app: NestExpressApplication;
  /** Sends a request under `/api/v1`; the body is sent as JSON, the answer parsed as JSON where it is. */
  call<T = any>(
    method: string,
    path: string,
    body?: unknown,
    headers?: Record<string, string>,
  ): Promise<Answer<T>>;
  close(): Promise<void>;
}

/** The real registry on a port of its own, over a database of its own. */
export async function startTestRegistry(
  overrides: Record<string, string> = {},
  logger?: Logger,
): Promise<TestRegistry> {
  const database = await createTestDatabase();
  const settings = readSettings(registryEnvironment(database, overrides));
  const app = await createApp(settings, logger ?? createLogger('registry', settings.CATENA_LOG_LEVEL));
  await app.listen(0, '127.0.0.1');
  const url = (await app.getUrl()).replace('[::1]', '127.0.0.1');
  return {
    url,
    settings,
    database,
    app,
    async call(method, path, body, headers = {}) {
      const response = await fetch(`${url}/api/v1${path}`, {
        method,
        headers: body === undefined ? headers : { 'content-type': 'application/json', ...headers },
        ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
      });
      const text = await response.text();
      const isJson = /[/+]json/.test(response.headers.get('content-type') ?? '');
      return { status: response.status, body: isJson ? JSON.parse(text) : text, headers: response.headers };
    },
    async close() {
      await app.close();
      await database.drop();
    },
  };
}

/** Environment of a registry process over a test database and the shared S3 server. */
export function registryEnvironment(
  database: TestDatabase,
  overrides: Record<string, string> = {},
): Record<string, string> {
  return {
    DATABASE_URL: database.url,
    S3_ENDPOINT: inject('s3Endpoint'),
    AWS_ACCESS_KEY_ID: 'S3RVER',
    AWS_SECRET_ACCESS_KEY: 'S3RVER',
    CATENA_ENCRYPTION_KEYS: TEST_ENCRYPTION_KEYS,
    CATENA_LOG_LEVEL: 'error',
    ...overrides,
  };
}
