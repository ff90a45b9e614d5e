import { Inject, Injectable } from '@nestjs/common';
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { isGatewayOpen } from '#libs/platform/access/access.js';
import type { Settings } from '#libs/platform/config/settings.js';
import { apiKeyDigest } from '#libs/platform/secrets/api-key.js';
import { GatewayError } from '../http/gateway-error.js';
import { SETTINGS_TOKEN } from '../settings.module.js';
import { SnapshotStore } from '../snapshot/snapshot.store.js';
import { ANYBODY, type Caller } from './caller.js';
import type { KeyRing, ServedSecret } from './key-ring.js';

/** The key that a connection brought last. */
interface Known {
  readonly header: string;
  readonly ring: KeyRing;
  readonly secret: ServedSecret;
}

const KNOWN = Symbol('known key');
type KnownSocket = Socket & { [KNOWN]?: Known };

/** Finds out who calls. */
@Injectable()
export class Callers {
  private readonly isOpen: boolean;

  /** @throws SettingsError where others could call without a key and nobody has said that they may. */
  constructor(
    private readonly store: SnapshotStore,
    @Inject(SETTINGS_TOKEN) settings: Settings,
  ) {
    this.isOpen = isGatewayOpen(settings);
  }

  /**
   * Who sent a request, by its API key: bearer token, or header `x-api-key` as Anthropic's clients send it.
   * @throws GatewayError 401 without a key that is good, 503 until there is a snapshot.
   */
  identify(request: IncomingMessage): Caller {
    const ring = this.store.current.keyRing;
    if (this.isOpen && ring.isEmpty) return ANYBODY;
    const { headers } = request;
    const header = headers.authorization ?? headers['x-api-key'];
    if (typeof header !== 'string') throw MISSING;
    const known = (request.socket as KnownSocket)[KNOWN];
    const secret =
      known !== undefined && known.ring === ring && known.header === header
        ? known.secret
        : this.lookUp(request, header, ring);
    const nowMs = Date.now();
    if (nowMs >= secret.expiresAtMs) throw EXPIRED;
    secret.key.lastUsedMs = nowMs;
    return secret.key;
  }

  /**
   * Hashing a key takes as long as a tenth of all else that a small request takes, and a connection nearly always
   * brings the same one: it is compared with that first. It is the connection's own, so that the time this takes
   * tells nobody anything.
   */
  private lookUp(request: IncomingMessage, header: string, ring: KeyRing): ServedSecret {
    const text = request.headers.authorization === undefined ? header : bearer(header);
    const secret = text === undefined ? undefined : ring.find(apiKeyDigest(text));
    if (!secret) throw UNKNOWN;
    (request.socket as KnownSocket)[KNOWN] = { header, ring, secret };
    return secret;
  }
}

function bearer(header: string): string | undefined {
  return /^bearer +(\S+)\s*$/i.exec(header)?.[1];
}

const HOW = 'send it as "authorization: Bearer ck_…" or as "x-api-key: ck_…".';
const MISSING = refusal('missing_api_key', `An API key is asked for here: ${HOW}`);
const UNKNOWN = refusal(
  'invalid_api_key',
  `The API key is not one that may call here: it is not known, or it was revoked. To use another, ${HOW}`,
);
const EXPIRED = refusal(
  'invalid_api_key',
  'The API key has expired, or another has taken its place; ask for a new one.',
);

/** RFC 9110 §15.5.2: with how to do better. */
function refusal(code: string, message: string): GatewayError {
  return new GatewayError(401, 'invalid_request_error', code, message, undefined, {
    'www-authenticate': 'Bearer',
  });
}
