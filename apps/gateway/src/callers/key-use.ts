import { Inject, Injectable, type OnApplicationShutdown } from '@nestjs/common';
import type { Settings } from '#libs/platform/config/settings.js';
import type { Logger } from '#libs/platform/log/logger.js';
import { withConnection } from '../database/with-connection.js';
import { LOGGER_TOKEN, SETTINGS_TOKEN } from '../settings.module.js';
import { SnapshotStore } from '../snapshot/snapshot.store.js';

const INTERVAL_MS = 60_000;
const TIMEOUT_MS = 5_000;

/** Writes down when keys were last used: once a minute, for people who look for keys nobody needs any more. */
@Injectable()
export class KeyUse implements OnApplicationShutdown {
  private readonly timer: NodeJS.Timeout;
  private writtenUntilMs = 0;
  private writing: Promise<void> | undefined;

  constructor(
    private readonly store: SnapshotStore,
    @Inject(SETTINGS_TOKEN) private readonly settings: Settings,
    @Inject(LOGGER_TOKEN) private readonly logger: Logger,
  ) {
    this.timer = setInterval(() => void this.write(), INTERVAL_MS);
    this.timer.unref();
  }

  async onApplicationShutdown(): Promise<void> {
    clearInterval(this.timer);
    await this.writing;
    await this.write();
  }

  /** Writes what was used since the last time; what cannot be written now is written next time. */
  async write(): Promise<void> {
    this.writing ??= this.writeUsed().finally(() => (this.writing = undefined));
    await this.writing;
  }

  private async writeUsed(): Promise<void> {
    const keys = [...(this.store.find()?.keyRing.keys() ?? [])];
    const used = keys.filter((key) => key.lastUsedMs > this.writtenUntilMs);
    if (used.length === 0) return;
    const untilMs = Math.max(...used.map((key) => key.lastUsedMs));
    try {
      await withConnection(this.settings.DATABASE_URL!, 'catena-gateway-key-use', TIMEOUT_MS, (client) =>
        client.query(
          `UPDATE api_key k SET last_used_at = GREATEST(k.last_used_at, u.at)
             FROM unnest($1::uuid[], $2::timestamptz[]) AS u (id, at) WHERE k.id = u.id`,
          [used.map((key) => key.id), used.map((key) => new Date(key.lastUsedMs))],
        ),
      );
      this.writtenUntilMs = untilMs;
    } catch (error) {
      this.logger.debug({ err: error }, 'when keys were last used could not be written');
    }
  }
}
