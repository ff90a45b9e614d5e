import { Inject, Injectable, type OnApplicationShutdown } from '@nestjs/common';
import { LRUCache } from 'lru-cache';
import { Counter, Gauge } from 'prom-client';
import type { DataClass } from '#libs/core/clearance/clearance.js';
import { generationsOf } from '#libs/core/content/chain.js';
import type { Settings } from '#libs/platform/config/settings.js';
import { FOUND, NOT_FOUND, type Origin } from '../chat/origin.js';
import { Metrics } from '../metrics/metrics.js';
import { SETTINGS_TOKEN } from '../settings.module.js';
import type { ServedChain, ServedEndpoint } from '../snapshot/snapshot.js';
import type { ClosingMeta } from '../spool/record.js';
import { cacheWish } from './cache-control.js';
import { cacheKey } from './cache-key.js';
import { isWhole } from './whole-answer.js';

/** An answer that was kept. */
export interface KeptAnswer {
  /** A chat completion. */
  readonly body: Buffer;
  /** Since the Unix epoch. */
  readonly keptAtMs: number;
  readonly finishReason: string | null;
  readonly schemaValid: boolean | null;
}

/** What a request is looked up by. */
export interface Asked {
  readonly endpoint: ServedEndpoint;
  readonly chain: ServedChain;
  readonly dataClass: DataClass;
  /** Path of the protocol it came by. */
  readonly protocol: string;
  /** As it came. */
  readonly body: Buffer;
  readonly cacheControl: string | undefined;
}

/** What an entry takes besides its body, roughly. */
const ENTRY_BYTES = 512;
const PURGE_EVERY_MS = 10_000;
/** So that one long answer does not push out all others. */
const LARGEST_SHARE = 8;

/**
 * Answers to requests that may be asked again, in memory only and of this gateway only: nothing of them is on a disk.
 * What is kept, and what is not: docs/adr/0021-shadows-and-cache.md.
 */
@Injectable()
export class AnswerCache implements OnApplicationShutdown {
  private readonly answers: LRUCache<string, KeptAnswer> | undefined;
  private readonly hits: Counter;
  private readonly misses: Counter;
  private readonly purging: NodeJS.Timeout;

  constructor(metrics: Metrics, @Inject(SETTINGS_TOKEN) settings: Settings) {
    const maxSize = settings.CATENA_CACHE_MAX_BYTES;
    if (maxSize > 0)
      this.answers = new LRUCache({
        maxSize,
        maxEntrySize: Math.ceil(maxSize / LARGEST_SHARE),
        sizeCalculation: ({ body }) => body.length + ENTRY_BYTES,
      });
    const counted = (name: string, help: string) =>
      new Counter({ name: `catena_cache_${name}`, help, registers: [metrics.registry] });
    this.hits = counted('hits_total', 'Requests answered without a model call');
    this.misses = counted('misses_total', 'Requests of endpoints with a cache that needed a model call');
    const gauged = (name: string, help: string, read: () => number) =>
      metrics.registry.registerMetric(
        new Gauge({
          name: `catena_cache_${name}`,
          help,
          registers: [],
          collect() {
            this.set(read());
          },
        }),
      );
    this.purging = setInterval(() => this.purge(), PURGE_EVERY_MS);
    this.purging.unref();
    gauged('entries', 'Answers that are kept', () => this.answers?.size ?? 0);
    gauged('bytes', 'Memory that they take', () => this.answers?.calculatedSize ?? 0);
  }

  onApplicationShutdown(): void {
    clearInterval(this.purging);
  }

  /** What nobody may get any more is not to stay in memory until its room is needed. */
  purge(): void {
    this.answers?.purgeStale();
  }

  /**
   * Looks a request up.
   * @returns undefined where the endpoint's answers are not kept.
   */
  slotFor(asked: Asked): CacheSlot | undefined {
    const { endpoint, chain, dataClass, protocol, body } = asked;
    const { answers } = this;
    const ttlSeconds = endpoint.cacheTtlSeconds;
    if (!answers || ttlSeconds === null) return undefined;
    const { maxAgeSeconds, mayKeep } = cacheWish(asked.cacheControl);
    const key = cacheKey(body, {
      workspaceId: endpoint.workspaceId,
      endpointId: endpoint.id,
      ttlSeconds,
      chainDigest: chain.digest,
      dataClass,
      protocol,
    });
    const maxAgeMs = Math.min(ttlSeconds, maxAgeSeconds) * 1000;
    const kept = key === undefined ? undefined : answers.get(key);
    const hit = kept && Date.now() - kept.keptAtMs < maxAgeMs ? kept : undefined;
    if (hit) this.hits.inc();
    else this.misses.inc();
    return new CacheSlot(answers, mayKeep ? key : undefined, ttlSeconds * 1000, chain, hit);
  }
}

/** Where the answer to one request is, or is to be kept. */
export class CacheSlot {
  constructor(
    private readonly answers: LRUCache<string, KeptAnswer>,
    /** Undefined where it is not to be kept. */
    private readonly key: string | undefined,
    private readonly ttlMs: number,
    private readonly chain: ServedChain,
    readonly hit: KeptAnswer | undefined,
  ) {}

  get origin(): Origin {
    return this.hit ? FOUND : NOT_FOUND;
  }

  /** Names and values of the headers that say where the answer is from. */
  get headers(): readonly string[] {
    if (!this.hit) return MISS;
    const age = Math.max(0, Math.floor((Date.now() - this.hit.keptAtMs) / 1000));
    return ['x-catena-cache', 'hit', 'age', String(age)];
  }

  /**
   * Keeps an answer that is whole, valid, and what the chain's own model said: neither an error nor what was refused,
   * nor that of a fallback, which would outlive the outage.
   * @param body a chat completion.
   */
  keep({ status, modelEndpoint, model, finishReason, schemaValid }: ClosingMeta, body: Buffer): void {
    if (this.key === undefined || status !== 'ok' || schemaValid === false) return;
    const { maxEntrySize } = this.answers;
    if (maxEntrySize > 0 && body.length > maxEntrySize) return;
    const [own] = generationsOf(this.chain.content);
    if (modelEndpoint !== own.modelEndpoint || model !== own.model || !isWhole(body)) return;
    this.answers.set(
      this.key,
      { body: apart(body), keptAtMs: Date.now(), finishReason, schemaValid },
      { ttl: this.ttlMs },
    );
  }
}

const MISS: readonly string[] = ['x-catena-cache', 'miss'];

/** A copy in memory of its own: a part of a chunk, or of the pool that small buffers come from, would hold all of that. */
function apart(body: Buffer): Buffer {
  const copy = Buffer.allocUnsafeSlow(body.length);
  body.copy(copy);
  return copy;
}
