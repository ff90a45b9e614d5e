import { lookup } from 'node:dns';
import type { LookupFunction } from 'node:net';
import ipaddr from 'ipaddr.js';
import { isLoopbackHost } from '#libs/platform/access/loopback.js';
import type { Settings } from '#libs/platform/config/settings.js';

/** What deliveries may reach beside public addresses. */
export type Reach = 'public' | 'loopback' | 'everything';

/**
 * A webhook has the registry call an address that a client chose, from inside the network. The default lets it
 * reach its own machine exactly when only that machine can reach the registry.
 */
export function reachOf(settings: Pick<Settings, 'CATENA_WEBHOOK_PRIVATE_HOSTS' | 'CATENA_HOST'>): Reach {
  switch (settings.CATENA_WEBHOOK_PRIVATE_HOSTS) {
    case 'allow':
      return 'everything';
    case 'refuse':
      return 'public';
    default:
      return isLoopbackHost(settings.CATENA_HOST) ? 'loopback' : 'public';
  }
}

/**
 * Whether a delivery may go to this address. Only what the registries of IANA list as global unicast is public;
 * forms that wrap an IPv4 address (6to4, NAT64, Teredo) are not.
 */
export function isReachable(address: string, reach: Reach): boolean {
  if (reach === 'everything') return true;
  if (!ipaddr.isValid(address)) return false;
  const range = ipaddr.process(address).range(); // an IPv4-mapped address counts as the IPv4 address
  return range === 'unicast' || (reach === 'loopback' && range === 'loopback');
}

/** The message of a refusal, for the log of deliveries and for callers. */
export function refusal(host: string, address: string): string {
  const resolved = host === address ? `${host} is` : `"${host}" resolves to ${address},`;
  return `${resolved} not a public address; CATENA_WEBHOOK_PRIVATE_HOSTS=allow lets webhooks reach private networks`;
}

/**
 * Resolves a name for a connection and refuses it when any of its addresses is out of reach: what is checked is what
 * is connected to, so a name that changes its address in between gains nothing.
 */
export function guardedLookup(reach: Reach): LookupFunction {
  return (hostname, options, callback) => {
    lookup(hostname, { ...options, all: true }, (error, addresses) => {
      if (error) return callback(error, '', 0);
      const bad = addresses.find(({ address }) => !isReachable(address, reach));
      if (bad) return callback(new Error(refusal(hostname, bad.address)), '', 0);
      if (options.all) return callback(null, addresses);
      const first = addresses[0]!;
      return callback(null, first.address, first.family);
    });
  };
}

/** The address in a URL whose host is one; names are checked when they are resolved. */
export function refusedLiteral(url: URL, reach: Reach): string | undefined {
  const host = url.hostname.replace(/^\[|\]$/g, '');
  if (!ipaddr.isValid(host) || isReachable(host, reach)) return undefined;
  return refusal(host, host);
}
