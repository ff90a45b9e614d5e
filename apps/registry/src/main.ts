import { registryKey } from '#libs/platform/access/access.js';
import { settingsOrExit } from '#libs/platform/config/settings-or-exit.js';
import { migrate } from '#libs/platform/database/data-source.js';
import { releaseStartupGarbage } from '#libs/platform/heap/release-startup-garbage.js';
import { createLogger } from '#libs/platform/log/logger.js';
import { createApp } from './app.js';
import { checkKafka } from './kafka/connection.js';

const settings = settingsOrExit(
  process.env,
  ['DATABASE_URL', 'S3_ENDPOINT', 'AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'CATENA_ENCRYPTION_KEYS'],
  (given) => {
    registryKey(given);
    checkKafka(given);
  },
);
const logger = createLogger('registry', settings.CATENA_LOG_LEVEL);
const ran = await migrate(settings.DATABASE_URL!).catch((error: unknown) => {
  logger.fatal(
    { err: error },
    'the database that DATABASE_URL names cannot be reached or brought up to date',
  );
  process.exit(1);
});
if (ran.length > 0) logger.info({ ran }, 'schema migrated');
const app = await createApp(settings, logger);
await app.init();
await releaseStartupGarbage();
await app.listen(settings.CATENA_REGISTRY_PORT, settings.CATENA_HOST);
logger.info({ url: await app.getUrl() }, 'registry is listening');
// Started by the launcher: when it dies, however it dies, so do we.
process.once('disconnect', () => void app.close());
