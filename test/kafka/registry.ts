import type { NestExpressApplication } from '@nestjs/platform-express';
import { createApp } from '../../apps/registry/src/app.js';
import { readSettings } from '../../libs/platform/config/settings.js';
import type { TestDatabase } from '../support/database.js';
import { eventually } from '../support/gateway.js';
import { memoryLogger } from '../support/leaks.js';
import { registryEnvironment } from '../support/registry.js';

/** One of several registries over one database, in this process. */
export class KafkaRegistry {
  private constructor(
    readonly app: NestExpressApplication,
    readonly url: string,
    private readonly lines: readonly string[],
  ) {}

  static async start(
    database: Pick<TestDatabase, 'url'>,
    overrides: Record<string, string>,
  ): Promise<KafkaRegistry> {
    const settings = readSettings(registryEnvironment(database as TestDatabase, overrides));
    const { logger, lines } = memoryLogger();
    const app = await createApp(settings, logger);
    await app.listen(0, '127.0.0.1');
    return new KafkaRegistry(app, (await app.getUrl()).replace('[::1]', '127.0.0.1'), lines);
  }

  /** What was logged, from this level on: 40 = warn. */
  log(level = 40): string[] {
    return this.lines
      .map((line) => JSON.parse(line) as { level: number; msg: string })
      .filter((line) => line.level >= level)
      .map(({ msg }) => msg);
  }

  async metric(name: string): Promise<number> {
    const text = await (await fetch(`${this.url}/metrics`)).text();
    const line = text.split('\n').find((each) => each.startsWith(`${name} `));
    if (line === undefined) throw new Error(`There is no metric ${name} in:\n${text}`);
    return Number(line.slice(name.length));
  }

  messages(outcome: 'accepted' | 'duplicate' | 'malformed'): Promise<number> {
    return this.metric(`catena_kafka_feedback_messages_total{outcome="${outcome}"}`);
  }

  isReading(): Promise<void> {
    return eventually(async () => (await this.metric('catena_kafka_feedback_up')) === 1, 60_000, 20);
  }

  close(): Promise<void> {
    return this.app.close();
  }
}
