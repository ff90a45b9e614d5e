import { isGatewayOpen } from '#libs/platform/access/access.js';
import { settingsOrExit } from '#libs/platform/config/settings-or-exit.js';
import { DirectoryLockedError } from '#libs/platform/lock/directory-lock.js';
import { createLogger } from '#libs/platform/log/logger.js';
import { createGateway } from './gateway.js';

const settings = settingsOrExit(process.env, ['DATABASE_URL', 'CATENA_ENCRYPTION_KEYS'], isGatewayOpen);
const logger = createLogger('gateway', settings.CATENA_LOG_LEVEL);
const gateway = await createGateway(settings, logger).catch((error: unknown) => {
  const reason = whyItCannotStart(error);
  if (reason === undefined) throw error;
  logger.fatal(`the gateway cannot start: ${reason}`);
  process.exit(1);
});
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

/** What the operator can mend; undefined for anything else, whose stack is worth more. */
function whyItCannotStart(error: unknown): string | undefined {
  if (error instanceof DirectoryLockedError) return error.message;
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  const address = `${settings.CATENA_HOST}, port ${settings.CATENA_GATEWAY_PORT}`;
  if (code === 'EADDRINUSE')
    return `another process listens on ${address}; set CATENA_GATEWAY_PORT to a free one.`;
  if (code === 'EACCES' || code === 'EADDRNOTAVAIL')
    return `${address} cannot be listened on (${code}); change CATENA_HOST or CATENA_GATEWAY_PORT.`;
  return undefined;
}
