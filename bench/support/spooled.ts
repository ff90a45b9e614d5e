import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { v7 } from 'uuid';
import { DEFAULT_WORKSPACE_ID } from '#libs/platform/database/default-workspace.js';
import { servedColumns } from '../../apps/gateway/src/spool/columns.js';
import { InferenceSink } from '../../apps/gateway/src/spool/inference-sink.js';
import type { ClosingMeta, OpeningMeta } from '../../apps/gateway/src/spool/record.js';
import { Shipper } from '../../apps/gateway/src/spool/shipper.js';
import { Spool } from '../../apps/gateway/src/spool/spool.js';
import { SpoolMetrics } from '../../apps/gateway/src/spool/spool.metrics.js';

/** Bodies of 2 kB together. */
export const REQUEST = Buffer.from(
  JSON.stringify({ model: 'bench', messages: [{ role: 'user', content: 'x'.repeat(900) }] }),
);
export const RESPONSE = Buffer.from(
  JSON.stringify({ choices: [{ message: { role: 'assistant', content: 'y'.repeat(900) } }] }),
);

/** What a gateway does with an inference besides answering it: both records on disk, shipped in batches, settled. */
export class Spooled {
  private constructor(
    private readonly directory: string,
    private readonly served: Buffer,
    private readonly metrics: SpoolMetrics,
    private readonly spool: Spool,
    private readonly shipper: Shipper,
  ) {}

  /** @param endpoint that the rows are of. */
  static async start(databaseUrl: string, endpoint: string): Promise<Spooled> {
    const directory = await mkdtemp(join(tmpdir(), 'catena-rows-'));
    const metrics = new SpoolMetrics(new Registry());
    const logger = pino({ level: 'silent' });
    const spool = new Spool(
      { directory, maxBytes: 4e9, whenFull: 'refuse', fsync: 'interval' },
      metrics,
      logger,
    );
    const sink = new InferenceSink(databaseUrl, () => undefined);
    const shipper = new Shipper(spool, sink, join(directory, 'quarantine.jsonl'), metrics, logger);
    shipper.start();
    return new Spooled(directory, servedBy(endpoint), metrics, spool, shipper);
  }

  /** Rows that are not in PostgreSQL yet. */
  get pending(): number {
    return this.metrics.pendingRows;
  }

  /** One inference; done when its closing is on the disk. */
  add(): Promise<void> {
    return new Promise((resolve, reject) => {
      const inference = this.spool.open(opening(this.served), REQUEST, undefined, {
        onOpened: (error) =>
          error ? reject(error) : this.spool.close(inference, CLOSING, undefined, RESPONSE),
        onClosed: (error) => (error ? reject(error) : resolve()),
      });
    });
  }

  /** Until all is in PostgreSQL. */
  async drained(): Promise<void> {
    while (this.pending > 0) await new Promise((resolve) => setTimeout(resolve, 5));
  }

  async stop(): Promise<void> {
    await this.shipper.stop(1000);
    this.spool.shutdown();
    await rm(this.directory, { recursive: true, force: true });
  }
}

export function servedBy(endpoint: string): Buffer {
  return servedColumns({
    workspaceId: DEFAULT_WORKSPACE_ID,
    endpoint,
    splitRevision: 1,
    arm: 'control',
    chain: 'bench',
    chainVersion: 1,
    chainDigest: `sha256:${'0'.repeat(64)}`,
  });
}

export function opening(served: Buffer): OpeningMeta {
  const now = Date.now();
  return {
    id: v7({ msecs: now }),
    startedAtMs: now,
    served,
    unit: 'customer-4711',
    bucket: 4711,
    sticky: true,
    assignment: 'split',
    streamed: false,
    dataClass: 'internal',
    apiKey: null,
    team: null,
    shadowOf: null,
    cacheHit: null,
    clientRequestId: null,
  };
}

export const CLOSING: ClosingMeta = {
  status: 'ok',
  errorCode: null,
  errorMessage: null,
  modelEndpoint: 'bench-gpu',
  model: 'bench',
  replica: 'http://127.0.0.1:8000/v1',
  attempts: 1,
  finishReason: 'stop',
  schemaValid: null,
  inputTokens: 40,
  outputTokens: 60,
  cachedInputTokens: 16,
  cacheWriteInputTokens: null,
  reasoningTokens: null,
  contractOutcome: null,
  contractRungs: null,
  costMicroUsd: 42,
  latencyMs: 12.5,
  ttftMs: null,
  dispatchedMs: 0.4,
  modelCalls: null,
};
