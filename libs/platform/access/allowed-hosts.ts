import type { Settings } from '../config/settings.js';
import { isLoopbackHost } from './loopback.js';

/**
 * Which hosts a request may name in its header `host`. While a server listens on loopback only, whoever can make a
 * browser on this machine resolve a name of theirs to 127.0.0.1 could talk to it (DNS rebinding); such a request
 * names their host.
 */
export class AllowedHosts {
  private readonly isChecked: boolean;
  private readonly more: ReadonlySet<string>;
  /** The last header that was good: nearly always the next one too. */
  private lastGood: string | undefined;

  constructor(settings: Pick<Settings, 'CATENA_HOST' | 'CATENA_ALLOWED_HOSTS'>) {
    const more = (settings.CATENA_ALLOWED_HOSTS ?? '').split(',').map((host) => host.trim().toLowerCase());
    this.more = new Set(more.filter((host) => host !== ''));
    this.isChecked = isLoopbackHost(settings.CATENA_HOST) && !this.more.has('*');
  }

  /** @param header as received; without one there was no browser. */
  allows(header: string | undefined): boolean {
    if (!this.isChecked || header === undefined || header === this.lastGood) return true;
    const host = nameIn(header);
    if (!isLoopbackHost(host) && !this.more.has(host)) return false;
    this.lastGood = header;
    return true;
  }

  /**
   * Whether a page of this origin may send requests. Browsers send some without asking first: those without a body,
   * or with one of plain text. @param header `origin` as received; without one there was no page of another origin.
   */
  allowsOrigin(header: string | undefined): boolean {
    if (!this.isChecked || header === undefined) return true;
    const host = URL.parse(header)?.host;
    return host !== undefined && host !== '' && this.allows(host);
  }

  /** What to answer where it does not. */
  static refusalOfOrigin(header: string | undefined): string {
    return `Pages of "${(header ?? '').slice(0, 200)}" may not call this server; list their host in CATENA_ALLOWED_HOSTS.`;
  }

  static refusal(header: string | undefined): string {
    return `The host "${(header ?? '').slice(0, 200)}" is not one this server answers for; call it by a loopback address, or list the host in CATENA_ALLOWED_HOSTS.`;
  }
}

/** The host without its port and brackets, in lower case. */
function nameIn(header: string): string {
  const bracketed = /^\[([^\]]*)\](:\d*)?$/.exec(header);
  if (bracketed) return bracketed[1]!;
  return header.replace(/:\d*$/, '').toLowerCase();
}
