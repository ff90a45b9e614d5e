import { Inject, Injectable, type OnApplicationShutdown } from '@nestjs/common';
import type { Agent, Dispatcher } from 'undici';
import type { Settings } from '#libs/platform/config/settings.js';
import { SecretBox } from '#libs/platform/secrets/secret-box.js';
import { SETTINGS_TOKEN } from '../settings.module.js';
import { guardedLookup, reachOf, refusedLiteral, type Reach } from './private-hosts.js';
import { retryAfterMs } from './retry.js';
import { deliveryHeaders, secretContext } from './signature.js';
import type { Webhook } from './webhook.entity.js';

/** Enough to tell what a receiver complained of. */
const EXCERPT_BYTES = 1_024;

export interface Outgoing {
  /** Of the delivery; stays the same over its attempts. */
  readonly id: string;
  readonly webhook: Pick<Webhook, 'id' | 'url' | 'secretCiphertext' | 'secretKeyId'>;
  readonly body: string;
}

export interface Outcome {
  readonly success: boolean;
  readonly responseStatus: number | null;
  readonly responseExcerpt: string | null;
  readonly error: string | null;
  readonly startedAt: Date;
  readonly durationMs: number;
  /** What the receiver asked for; 0 when it asked for nothing. */
  readonly retryAfterMs: number;
}

/** Posts one delivery once. Redirects and proxies of the environment are not followed: both would hide the target. */
@Injectable()
export class WebhookSender implements OnApplicationShutdown {
  private agent: Agent | undefined;
  private readonly reach: Reach;
  private readonly timeoutMs: number;

  constructor(
    private readonly secrets: SecretBox,
    @Inject(SETTINGS_TOKEN) settings: Settings,
  ) {
    this.reach = reachOf(settings);
    this.timeoutMs = settings.CATENA_WEBHOOK_TIMEOUT_MS;
  }

  /** After the dispatcher, whose attempts may still be under way when modules are destroyed. */
  async onApplicationShutdown(): Promise<void> {
    await this.agent?.destroy();
  }

  /** Never throws: what went wrong is the outcome. @param signal ends the attempt before its time. */
  async send(outgoing: Outgoing, signal?: AbortSignal): Promise<Outcome> {
    const startedAt = new Date();
    const outcome = (rest: Partial<Outcome>): Outcome => ({
      success: false,
      responseStatus: null,
      responseExcerpt: null,
      error: null,
      startedAt,
      durationMs: Date.now() - startedAt.getTime(),
      retryAfterMs: 0,
      ...rest,
    });
    const limit = AbortSignal.timeout(this.timeoutMs);
    try {
      const refused = refusedLiteral(new URL(outgoing.webhook.url), this.reach);
      if (refused !== undefined) return outcome({ error: refused });
      const { statusCode, headers, body } = await this.post(outgoing, startedAt, anyOf(limit, signal));
      const retryAfter = headers['retry-after'];
      return outcome({
        success: statusCode >= 200 && statusCode < 300,
        responseStatus: statusCode,
        responseExcerpt: await excerptOf(body),
        durationMs: Date.now() - startedAt.getTime(),
        retryAfterMs: retryAfterMs(Array.isArray(retryAfter) ? retryAfter[0] : retryAfter, new Date()),
      });
    } catch (error) {
      if (limit.aborted) return outcome({ error: `no answer within ${this.timeoutMs} ms` });
      if (signal?.aborted) return outcome({ error: 'the registry was stopped during the attempt' });
      return outcome({ error: messageOf(error).slice(0, EXCERPT_BYTES) });
    }
  }

  private async post(
    { id, webhook, body }: Outgoing,
    at: Date,
    signal: AbortSignal,
  ): Promise<Dispatcher.ResponseData> {
    const { secretCiphertext, secretKeyId } = webhook;
    const secret =
      secretCiphertext === null || secretKeyId === null
        ? null
        : this.secrets.open({ ciphertext: secretCiphertext, keyId: secretKeyId }, secretContext(webhook.id));
    // Loaded by the first delivery: it is several megabytes, and most registries have no webhooks.
    const { Agent, request } = await import('undici');
    this.agent ??= new Agent({
      connect: { lookup: guardedLookup(this.reach), timeout: this.timeoutMs },
      pipelining: 1,
      keepAliveTimeout: 4_000,
    });
    return request(webhook.url, {
      method: 'POST',
      headers: deliveryHeaders(id, Math.floor(at.getTime() / 1_000), body, secret),
      body,
      dispatcher: this.agent,
      signal,
    });
  }
}

function anyOf(limit: AbortSignal, signal: AbortSignal | undefined): AbortSignal {
  return signal ? AbortSignal.any([limit, signal]) : limit;
}

/** The status counts even when the body breaks off: the receiver has taken the delivery. */
async function excerptOf(body: Dispatcher.ResponseData['body']): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of body as AsyncIterable<Buffer>) {
      chunks.push(chunk);
      bytes += chunk.length;
      if (bytes >= EXCERPT_BYTES) break;
    }
  } catch {
    // cut off, or too slow: what came is the excerpt
  }
  const text = Buffer.concat(chunks).subarray(0, EXCERPT_BYTES).toString('utf8');
  return text.replaceAll('\0', '\u{FFFD}'); // PostgreSQL's text holds no NUL
}

/** undici wraps what the socket said; several addresses tried make an AggregateError without a message. */
function messageOf(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(messageOf).join('; ');
  if (!(error instanceof Error)) return String(error);
  return error.message || ((error as NodeJS.ErrnoException).code ?? error.name);
}
