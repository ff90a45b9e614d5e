import { describe, expect, it } from 'vitest';
import { guardedLookup, isReachable, reachOf, refusedLiteral } from './private-hosts.js';

const PRIVATE = [
  '0.0.0.0',
  '10.0.0.1',
  '100.64.0.1',
  '169.254.169.254',
  '172.16.0.1',
  '192.168.1.1',
  '198.18.0.1',
  '224.0.0.1',
  '255.255.255.255',
  '::',
  'fc00::1',
  'fe80::1',
  'ff02::1',
  '::ffff:10.0.0.1',
  '64:ff9b::a00:1',
  '2002:a00:1::',
  '2001:db8::1',
];
const LOOPBACK = ['127.0.0.1', '127.9.9.9', '::1', '::ffff:127.0.0.1'];

describe('deliveries', () => {
  it.each(PRIVATE)('do not reach %s unless everything is allowed', (address) => {
    expect([
      isReachable(address, 'public'),
      isReachable(address, 'loopback'),
      isReachable(address, 'everything'),
    ]).toEqual([false, false, true]);
  });

  it.each(LOOPBACK)('reach %s only where loopback is allowed', (address) => {
    expect([isReachable(address, 'public'), isReachable(address, 'loopback')]).toEqual([false, true]);
  });

  it.each(['93.184.215.14', '2606:2800:21f:cb07:6820:80da:af6b:8b2c'])('reach %s', (address) => {
    expect(isReachable(address, 'public')).toBe(true);
  });

  it('reach loopback by default while the registry is reached from there only', () => {
    const reach = (CATENA_HOST: string, mode: 'auto' | 'allow' | 'refuse' = 'auto') =>
      reachOf({ CATENA_HOST, CATENA_WEBHOOK_PRIVATE_HOSTS: mode });
    expect(
      ['127.0.0.1', '::1', 'localhost', '0.0.0.0', '10.0.0.5', 'registry'].map((host) => reach(host)),
    ).toEqual(['loopback', 'loopback', 'loopback', 'public', 'public', 'public']);
    expect([reach('0.0.0.0', 'allow'), reach('127.0.0.1', 'refuse')]).toEqual(['everything', 'public']);
  });

  it('see through the spellings of an address', () => {
    for (const host of ['0x7f.1', '2130706433', '0177.0.0.1', '127.1', '[::1]', '[::ffff:7f00:1]'])
      expect(refusedLiteral(new URL(`http://${host}/`), 'public')).toMatch(/is not a public address/);
    expect(refusedLiteral(new URL('http://example.com/'), 'public')).toBeUndefined();
  });

  it.each([true, false])('check what a name resolves to when they connect (all: %s)', async (all) => {
    const resolve = (reach: 'public' | 'loopback') =>
      new Promise((done) =>
        guardedLookup(reach)('localhost', { all }, (error, found) => done(error ?? found)),
      );
    expect(await resolve('public')).toMatchObject({
      message: expect.stringMatching(/^"localhost" resolves to .*, not a public address/),
    });
    expect(await resolve('loopback')).not.toBeInstanceOf(Error);
  });
});
