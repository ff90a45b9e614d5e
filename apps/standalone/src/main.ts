#!/usr/bin/env node
import { isGatewayOpen, registryKey } from '#libs/platform/access/access.js';
import { readSettings, type SettingName, type Settings } from '#libs/platform/config/settings.js';
import { runDemo } from './demo/demo.js';
import { Launcher, type Addresses } from './launcher.js';
import { runTool, TOOLS } from './tool.js';

const USAGE = `Usage: catena start           the stack: PostgreSQL, S3, registry, gateway
       catena demo            the stack, and the demo on it
       catena demo --exit     ends after the demo's table
       catena gc              removes for good what was deleted; see catena gc --help
       catena import mlflow   brings what an MLflow server holds; see catena import --help
Settings come from the environment; they are listed in docs/settings.md.`;

const [command = '', ...flags] = process.argv.slice(2);
const isTool = Object.hasOwn(TOOLS, command);
const isDemo = command === 'demo';
if (!isTool && ((command !== 'start' && !isDemo) || flags.some((flag) => !isDemo || flag !== '--exit'))) {
  console.error(USAGE);
  process.exit(command === '--help' ? 0 : 1);
}
if (Number(process.versions.node.split('.')[0]) < 24) {
  console.error(`This is Node ${process.versions.node}; use "npm start", which brings Node 24 with it.`);
  process.exit(1);
}

if (isTool)
  process.exit(
    await runTool(command, flags, process.env).catch((error: unknown) => {
      console.error(error instanceof Error ? error.message : error);
      return 1;
    }),
  );

const S3_CREDENTIALS: SettingName[] = ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY'];

let launcher: Launcher | undefined;
let ending: Promise<void> | undefined;

process.on('SIGINT', onSignal).on('SIGTERM', onSignal).on('SIGHUP', onSignal);
endWithNpm();
try {
  // The demo prints a story; only what is amiss may interrupt it.
  const environment = isDemo ? { CATENA_LOG_LEVEL: 'warn', ...process.env } : process.env;
  const settings = readSettings(environment, process.env['S3_ENDPOINT'] ? S3_CREDENTIALS : []);
  registryKey(settings);
  isGatewayOpen(settings);
  launcher = createLauncher(settings, environment);
  const addresses = await launcher.start();
  if (isDemo) await runDemo(launcher, addresses, settings.CATENA_SIMULATOR_PORT);
  if (flags.includes('--exit')) await end(0);
  else sayAddresses(addresses);
} catch (error) {
  if (!ending) {
    const isPlain = error instanceof Error && !(error instanceof TypeError);
    console.error(isPlain ? `\n${error.message}` : error);
  }
  await end(1);
}

function createLauncher(settings: Settings, environment: NodeJS.ProcessEnv): Launcher {
  return new Launcher(
    settings,
    environment,
    (line) => console.error(line),
    (message) => {
      console.error(`\n${message}\nCatena cannot go on without it and stops.`);
      void end(1);
    },
  );
}

function sayAddresses({ registry, gateway, database, s3, dataDirectory }: Addresses): void {
  console.log(`
Catena is running.
  Registry    ${registry}/api/v1   (Swagger: ${registry}/docs)
  Gateway     ${gateway}/v1
  PostgreSQL  ${database}
  S3          ${s3}
  Data        ${dataDirectory}
Ctrl-C stops it.`);
}

function onSignal(): void {
  if (ending) {
    console.error('Ending at once.');
    launcher?.kill();
    process.exit(130);
  }
  console.error('\nStopping; again to end at once.');
  void end(0);
}

async function end(code: number): Promise<void> {
  ending ??= (launcher?.stop() ?? Promise.resolve()).finally(() => process.exit(code));
  return ending;
}

/**
 * npm passes a SIGTERM to the shell between it and this process, which does not pass it on: without this,
 * `npm start` would end and leave the stack behind.
 */
function endWithNpm(): void {
  if (process.env['npm_lifecycle_event'] === undefined) return;
  const parent = process.ppid;
  setInterval(() => process.ppid !== parent && !ending && onSignal(), 500).unref();
}
