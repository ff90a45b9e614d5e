import { describe, expect, it } from 'vitest';
import { readSettings, SettingsError } from '../config/settings.js';
import { isGatewayOpen, registryKey } from './access.js';
import { AllowedHosts } from './allowed-hosts.js';

const KEY = 'k'.repeat(32);
const settings = (env: Record<string, string>) => readSettings(env);

describe('without a word on access', () => {
  it.each(['127.0.0.1', 'localhost', '::1', '127.8.8.8'])('a process on %s is open', (host) => {
    expect(isGatewayOpen(settings({ CATENA_HOST: host }))).toBe(true);
    expect(registryKey(settings({ CATENA_HOST: host }))).toBeUndefined();
  });

  it.each(['0.0.0.0', '::', '10.0.0.7', 'catena.internal', '::ffff:10.0.0.1'])(
    'a process on %s does not start',
    (host) => {
      expect(() => isGatewayOpen(settings({ CATENA_HOST: host }))).toThrow(SettingsError);
      expect(() => isGatewayOpen(settings({ CATENA_HOST: host }))).toThrow('CATENA_ACCESS=keys');
      expect(() => registryKey(settings({ CATENA_HOST: host }))).toThrow('CATENA_ADMIN_KEY: must be set');
    },
  );
});

describe('access by keys', () => {
  it('closes the gateway on loopback too, and needs a key of the registry', () => {
    expect(isGatewayOpen(settings({ CATENA_ACCESS: 'keys' }))).toBe(false);
    expect(() => registryKey(settings({ CATENA_ACCESS: 'keys' }))).toThrow('CATENA_ADMIN_KEY: must be set');
    expect(registryKey(settings({ CATENA_ACCESS: 'keys', CATENA_ADMIN_KEY: KEY }))).toBe(KEY);
  });

  it('of the registry is by the key wherever there is one', () => {
    expect(registryKey(settings({ CATENA_ADMIN_KEY: KEY }))).toBe(KEY);
    expect(registryKey(settings({ CATENA_HOST: '0.0.0.0', CATENA_ADMIN_KEY: KEY }))).toBe(KEY);
  });

  it('does not take a short key', () => {
    expect(() => settings({ CATENA_ADMIN_KEY: 'short' })).toThrow('CATENA_ADMIN_KEY');
  });
});

it('open access is open at any address', () => {
  expect(isGatewayOpen(settings({ CATENA_HOST: '0.0.0.0', CATENA_ACCESS: 'open' }))).toBe(true);
  expect(registryKey(settings({ CATENA_HOST: '0.0.0.0', CATENA_ACCESS: 'open' }))).toBeUndefined();
});

describe('the hosts that a server on loopback answers for', () => {
  const hosts = new AllowedHosts(settings({ CATENA_ALLOWED_HOSTS: 'catena.internal, Gateway.example' }));

  it.each([
    undefined,
    'localhost',
    'localhost:5081',
    'LocalHost:5081',
    'app.localhost:80',
    '127.0.0.1',
    '127.0.0.1:5081',
    '[::1]',
    '[::1]:5081',
    'catena.internal:5081',
    'GATEWAY.example',
  ])('hold %s', (host) => {
    expect(hosts.allows(host)).toBe(true);
  });

  it.each([
    'evil.example',
    'evil.example:5081',
    'localhost.evil.example',
    '127.0.0.1.evil.example',
    'evillocalhost',
    '10.0.0.1',
    '[::2]:5081',
    '[evil]',
    'x@127.0.0.1',
    '',
  ])('do not hold "%s"', (host) => {
    expect(hosts.allows(host)).toBe(false);
    expect(hosts.allows('localhost')).toBe(true);
    expect(hosts.allows(host)).toBe(false);
  });

  it('are all of them for "*", and at another address', () => {
    expect(new AllowedHosts(settings({ CATENA_ALLOWED_HOSTS: '*' })).allows('evil.example')).toBe(true);
    expect(new AllowedHosts(settings({ CATENA_HOST: '0.0.0.0' })).allows('catena.example')).toBe(true);
  });
});
