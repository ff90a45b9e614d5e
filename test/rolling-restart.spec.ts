import { rm } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createSimulator, type Simulator } from '../apps/model-simulator/src/simulator.js';
import { ChatLoad } from './support/chat-load.js';
import { createTestDatabase, type TestDatabase } from './support/database.js';
import { GatewayProcess } from './support/gateway-process.js';
import { eventually, temporaryDirectory } from './support/gateway.js';
import { ServingRows } from './support/serving-rows.js';

/** As seldom as docs/failure-semantics.md allows, or nearly. */
const POLL_MS = 400;

/** What a load balancer does: it asks who is ready, and sends to these in turn. */
class Balancer {
  private readonly targets: { gateway: GatewayProcess; isReady: boolean }[];
  private turn = 0;
  private isStopped = false;
  private readonly polling: Promise<void>;

  constructor(gateways: readonly GatewayProcess[]) {
    this.targets = gateways.map((gateway) => ({ gateway, isReady: true }));
    this.polling = this.poll();
  }

  replace(index: number, gateway: GatewayProcess): void {
    this.targets[index] = { gateway, isReady: false };
  }

  readonly pick = (): string | undefined => {
    const ready = this.targets.filter(({ isReady }) => isReady);
    return ready[this.turn++ % ready.length]?.gateway.url;
  };

  async stop(): Promise<void> {
    this.isStopped = true;
    await this.polling;
  }

  private async poll(): Promise<void> {
    while (!this.isStopped) {
      await Promise.all(
        this.targets.map(async (target) => {
          const answer = await fetch(`${target.gateway.url}/readyz`).catch(() => undefined);
          target.isReady = answer?.status === 200;
        }),
      );
      await sleep(POLL_MS);
    }
  }
}

describe('two gateways, restarted one after the other under load', () => {
  let database: TestDatabase;
  let simulator: Simulator;
  const directories: string[] = [];
  const gateways: GatewayProcess[] = [];
  beforeAll(async () => {
    database = await createTestDatabase();
    simulator = await createSimulator({
      port: 0,
      models: ['small'],
      ttftMs: 20,
      tokensPerSecond: 100,
      maxNumSeqs: 256,
    });
    const rows = new ServingRows(database.client);
    await rows.setModelEndpoint('gpu', {
      replicas: [`${simulator.url}/v1`],
      maxConcurrencyPerReplica: 256,
    });
    const chain = await rows.addChain('chat');
    await rows.setSplit('chat', [{ name: 'only', weightBps: 10_000, chain }]);
    for (let index = 0; index < 2; index++) {
      directories.push(await temporaryDirectory());
      gateways.push(await GatewayProcess.start(database.url, directories[index]!));
    }
  });
  afterAll(async () => {
    for (const gateway of gateways) await gateway.kill();
    await simulator.close();
    await database.drop();
    for (const directory of directories) await rm(directory, { recursive: true, force: true });
  });

  /** A stream of two and a half seconds, as one that is under way when its gateway is told to stop. */
  async function longStream(url: string): Promise<string> {
    const response = await fetch(`${url}/v1/chat/completions`, {
      method: 'POST',
      body: JSON.stringify({
        model: 'chat',
        messages: [{ role: 'user', content: 'long' }],
        stream: true,
        max_tokens: 250,
        min_tokens: 250,
        ignore_eos: true,
      }),
    });
    return response.text();
  }

  it('cut no request, lose no row, and end long streams before they go', async () => {
    const balancer = new Balancer(gateways);
    const load = new ChatLoad(balancer.pick, 12);
    await eventually(() => load.completed.length > 50);
    for (let index = 0; index < 2; index++) {
      const before = load.completed.length;
      const stream = longStream(gateways[index]!.url);
      await sleep(300);
      expect(await gateways[index]!.stop()).toBe(0);
      expect(await stream).toMatch(/data: \[DONE\]\n\n$/);
      expect(load.completed.length).toBeGreaterThan(before);
      gateways[index] = await GatewayProcess.start(database.url, directories[index]!);
      balancer.replace(index, gateways[index]!);
      await sleep(500);
    }
    await load.stop();
    await balancer.stop();

    expect(load.sent - load.completed.length).toBe(0);
    await eventually(async () => {
      const { rows } = await database.client.query<{ status: string; count: number }>(
        'SELECT status, count(*)::int AS count FROM inference GROUP BY status',
      );
      return rows.reduce((sum, { count }) => sum + count, 0) === load.sent + 2;
    });
    const { rows } = await database.client.query<{ id: string; status: string }>(
      'SELECT id, status FROM inference',
    );
    expect(new Set(rows.map(({ status }) => status))).toEqual(new Set(['ok']));
    const stored = new Set(rows.map(({ id }) => id));
    expect(load.completed.filter((id) => !stored.has(id))).toEqual([]);
  });
});
