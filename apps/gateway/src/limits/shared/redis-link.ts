import { createClient, ErrorReply } from '@redis/client';
import { createHash, randomUUID } from 'node:crypto';
import type { Logger } from '#libs/platform/log/logger.js';
import { LIMIT_SCRIPT } from './limit-script.js';
import type { SharedLimitMetrics } from './shared-limit-metrics.js';

const SHA = createHash('sha1').update(LIMIT_SCRIPT).digest('hex');
/** Connecting, logging in and a first write have to be done in this time. */
const CONNECT_TIMEOUT_MS = 1_000;
const MIN_BACKOFF_MS = 100;
const MAX_BACKOFF_MS = 2_000;
/** Answers in a row that came too late, after which the connection is given up. */
const MAX_LATE = 3;

/** There is no answer of Redis, or not in time. */
export class RedisAwayError extends Error {
  override readonly name = 'RedisAwayError';
}

export interface RedisLinkOptions {
  /** `redis://` or `rediss://`. */
  readonly url: string;
  /** Of every key. */
  readonly prefix: string;
  readonly timeoutMs: number;
}

export interface RedisLinkListener {
  /** A new connection, proven by a write. What is sent now is run before what is sent by others. */
  onUp(): void;
  onDown(): void;
}

type Client = ReturnType<typeof newClient>;

function newClient(url: string) {
  return createClient({
    url,
    name: 'catena-gateway',
    disableOfflineQueue: true,
    maintNotifications: 'disabled',
    socket: { connectTimeout: CONNECT_TIMEOUT_MS, reconnectStrategy: false },
  });
}

/**
 * The connection to Redis. It is there only while it answers: an error, or some answers too late, and it is given up, so
 * that nobody waits for it; another is tried in the background, and counts once it has written.
 */
export class RedisLink {
  private client: Client | undefined;
  private lateInRow = 0;
  private backoffMs = MIN_BACKOFF_MS;
  private retry: NodeJS.Timeout | undefined;
  private isClosed = false;
  /** Told once per outage. */
  private hasComplained = false;
  /** Without credentials. */
  readonly address: string;

  constructor(
    private readonly options: RedisLinkOptions,
    private readonly listener: RedisLinkListener,
    private readonly metrics: SharedLimitMetrics,
    private readonly logger: Logger,
  ) {
    // The error of the constructor would tell the password.
    if (!URL.canParse(options.url)) throw new Error('CATENA_REDIS_URL is no URL.');
    this.address = new URL(options.url).host;
  }

  get isUp(): boolean {
    return this.client !== undefined;
  }

  /** Tries once, and goes on in the background where that fails. */
  async connect(): Promise<void> {
    const client = newClient(this.options.url);
    client.on('error', (error: Error) => this.lost(client, error));
    // Of a server that takes connections and answers nothing.
    const deadline = setTimeout(() => client.destroy(), CONNECT_TIMEOUT_MS);
    try {
      await client.connect();
      await client.scriptLoad(LIMIT_SCRIPT);
      await this.prove(client);
    } catch (error) {
      this.failed(client, error);
      return;
    } finally {
      clearTimeout(deadline);
    }
    if (this.isClosed) {
      client.destroy();
      return;
    }
    this.client = client;
    this.lateInRow = 0;
    this.hasComplained = false;
    this.logger.info({ redis: this.address }, 'limits are shared through Redis');
    this.listener.onUp();
  }

  /**
   * Runs the script, and waits for its answer as long as is allowed.
   * @param onLate told the answer that came after that.
   * @throws RedisAwayError.
   */
  ask(
    keys: string[],
    args: string[],
    onLate: (reply: readonly string[]) => void,
  ): Promise<readonly string[]> {
    const { client } = this;
    if (!client) return Promise.reject(new RedisAwayError('There is no connection to Redis.'));
    const startedMs = performance.now();
    return new Promise((resolve, reject) => {
      let isOver = false;
      const giveUp = () => {
        if (isOver) return;
        isOver = true;
        this.late(client);
        reject(new RedisAwayError(`Redis did not answer within ${this.options.timeoutMs} ms.`));
      };
      // What has come while this process was busy is read before the immediate.
      const timer = setTimeout(() => setImmediate(giveUp), this.options.timeoutMs);
      const onReply = (reply: readonly string[]) => {
        clearTimeout(timer);
        this.metrics.roundTrip.observe((performance.now() - startedMs) / 1_000);
        if (isOver) {
          onLate(reply);
          return;
        }
        isOver = true;
        this.lateInRow = 0;
        // Not before: one that is always late is asked less and less often.
        this.backoffMs = MIN_BACKOFF_MS;
        resolve(reply);
      };
      const onLost = () => {
        clearTimeout(timer);
        if (isOver) return;
        isOver = true;
        reject(new RedisAwayError('The connection to Redis is lost.'));
      };
      this.evaluate(client, keys, args).then(onReply, onLost);
    });
  }

  /** Runs the script, for whom it does not matter when. @throws RedisAwayError. */
  send(keys: string[], args: string[]): Promise<readonly string[]> {
    const { client } = this;
    return client
      ? this.evaluate(client, keys, args)
      : Promise.reject(new RedisAwayError('There is no connection to Redis.'));
  }

  close(): void {
    this.isClosed = true;
    clearTimeout(this.retry);
    const { client } = this;
    this.client = undefined;
    client?.destroy();
  }

  /** A replica, a server without memory and a user without rights would refuse every request. */
  private async prove(client: Client): Promise<void> {
    const space = `${this.options.prefix}:{probe}`;
    const session = [`${space}:sessions`, `${space}:held:${randomUUID()}`];
    const reserve = ['reserve', '1', '10000', '1', 'r', '1', '1000', '1', '0', '1'];
    await client.evalSha(SHA, { keys: [...session, `${space}:limit`], arguments: reserve });
    await client.evalSha(SHA, { keys: session, arguments: ['end'] });
  }

  private async evaluate(client: Client, keys: string[], args: string[]): Promise<readonly string[]> {
    try {
      return (await client.evalSha(SHA, { keys, arguments: args })) as unknown as string[];
    } catch (error) {
      this.lost(client, error);
      throw error;
    }
  }

  private late(client: Client): void {
    this.metrics.failures.inc({ reason: 'timeout' });
    this.lateInRow++;
    if (this.lateInRow >= MAX_LATE)
      this.drop(
        client,
        new RedisAwayError(`${MAX_LATE} answers in a row took more than ${this.options.timeoutMs} ms.`),
      );
  }

  private lost(client: Client, error: unknown): void {
    if (client !== this.client) return;
    this.metrics.failures.inc({ reason: error instanceof ErrorReply ? 'error' : 'connection' });
    this.drop(client, error);
  }

  private drop(client: Client, error: unknown): void {
    if (client !== this.client) return;
    this.client = undefined;
    client.destroy();
    this.listener.onDown();
    this.complain(error);
    this.schedule();
  }

  private failed(client: Client, error: unknown): void {
    client.destroy();
    if (this.isClosed) return;
    this.metrics.failures.inc({ reason: error instanceof ErrorReply ? 'error' : 'connection' });
    this.complain(error);
    this.schedule();
  }

  private schedule(): void {
    if (this.isClosed) return;
    const delayMs = this.backoffMs * (0.5 + Math.random() / 2);
    this.backoffMs = Math.min(MAX_BACKOFF_MS, this.backoffMs * 2);
    this.retry = setTimeout(() => void this.connect(), delayMs);
    this.retry.unref();
  }

  private complain(error: unknown): void {
    if (this.hasComplained || this.isClosed) return;
    this.hasComplained = true;
    const reason = error instanceof Error ? error.message : String(error);
    this.logger.error({ redis: this.address, reason }, 'limits are not shared: Redis cannot be used');
  }
}
