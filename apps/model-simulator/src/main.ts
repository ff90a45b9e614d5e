import { readSettings } from '#libs/platform/config/settings.js';
import { OptionsError, parseOptions, usage } from './options.js';
import { createSimulator } from './simulator.js';

if (process.argv.includes('--help')) {
  console.log(usage());
  process.exit(0);
}
try {
  const settings = readSettings(process.env);
  const options = parseOptions(process.argv.slice(2), {
    host: settings.CATENA_HOST,
    port: settings.CATENA_SIMULATOR_PORT,
  });
  const simulator = await createSimulator(options);
  if (process.send) process.send({ type: 'ready', url: simulator.url });
  else console.log(`model simulator: ${simulator.url}/v1 (${options.models.join(', ')})`);
  const stop = () => void simulator.close().then(() => process.exit(0));
  process.once('SIGTERM', stop).once('SIGINT', stop).once('disconnect', stop);
} catch (error) {
  console.error(error instanceof OptionsError || error instanceof Error ? error.message : error);
  process.exit(1);
}
