import { SettingsError, type Settings } from '../config/settings.js';
import { isLoopbackHost } from './loopback.js';

type AccessSettings = Pick<Settings, 'CATENA_HOST' | 'CATENA_ACCESS' | 'CATENA_ADMIN_KEY'>;

/**
 * Whether a gateway answers callers without a key as long as nobody has made one.
 * @throws SettingsError where others could reach it and nobody has said that they may.
 */
export function isGatewayOpen(settings: AccessSettings): boolean {
  if (settings.CATENA_ACCESS !== 'auto') return settings.CATENA_ACCESS === 'open';
  if (isLoopbackHost(settings.CATENA_HOST)) return true;
  throw new SettingsError(
    `Bad settings:\n  CATENA_ACCESS: CATENA_HOST is ${settings.CATENA_HOST}, which others can reach, and callers would need no key. ` +
      'Set CATENA_ACCESS=keys to refuse everybody without an API key (the registry makes them), or CATENA_ACCESS=open ' +
      'where something else decides who may connect.',
  );
}

/**
 * The key that the registry asks for; undefined: none.
 * @throws SettingsError where others could reach it and nobody has said that they may.
 */
export function registryKey(settings: AccessSettings): string | undefined {
  const { CATENA_ADMIN_KEY: key, CATENA_ACCESS: access, CATENA_HOST: host } = settings;
  if (key !== undefined) return key;
  if (access === 'open' || (access === 'auto' && isLoopbackHost(host))) return undefined;
  throw new SettingsError(
    `Bad settings:\n  CATENA_ADMIN_KEY: must be set, because ${access === 'keys' ? 'CATENA_ACCESS is keys' : `CATENA_HOST is ${host}, which others can reach`}: ` +
      'who reaches the registry may change everything. Set it to 32 characters or more (openssl rand -hex 32), ' +
      'or CATENA_ACCESS=open where something else decides who may connect.',
  );
}
