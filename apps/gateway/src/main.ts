import { readSettings } from '#libs/platform/config/settings.js';
import { createLogger } from '#libs/platform/log/logger.js';
import { createGateway } from './gateway.js';

const settings = readSettings(process.env, ['DATABASE_URL', 'CATENA_ENCRYPTION_KEYS']);
const logger = createLogger('gateway', settings.CATENA_LOG_LEVEL);
const gateway = await createGateway(settings, logger);
logger.info({ url: gateway.url }, 'gateway is listening');

let stopping: Promise<void> | undefined;
function stop(cause: string): void {
  if (stopping) return;
  logger.info({ cause }, 'gateway is stopping');
  stopping = gateway
    .close()
    .then(() => logger.info('gateway has stopped'))
    .catch((error: unknown) => {
      logger.error({ err: error }, 'gateway did not stop cleanly');
      process.exitCode = 1;
    })
    // The listener below keeps the channel to the launcher open, and with it the process.
    .finally(() => process.connected && process.disconnect());
}
process.once('SIGTERM', () => stop('SIGTERM'));
process.once('SIGINT', () => stop('SIGINT'));
// Started by the launcher: when it dies, however it dies, so do we.
process.once('disconnect', () => stop('the launcher is gone'));
