import ipaddr from 'ipaddr.js';

/** Whether a host, a name or an address without brackets, is this machine itself whatever a resolver says. */
export function isLoopbackHost(host: string): boolean {
  return (
    host === 'localhost' ||
    host.endsWith('.localhost') || // RFC 6761 §6.3
    (ipaddr.isValid(host) && ipaddr.process(host).range() === 'loopback')
  );
}
