import { ReplicaLanes } from '../../apps/gateway/src/dispatch/replica-lanes.js';
import type { ReplicaLane } from '../../apps/gateway/src/dispatch/replica-lane.js';
import type { Replica } from '../../apps/gateway/src/dispatch/replica.js';
import { say, startChatStack, type ChatStack } from './chat.js';
import { FakeReplica } from './fake-replica.js';
import { eventually } from './gateway.js';

export const PROBE_MS = 40;
export const OPEN_MS = 400;

/** A gateway that looks often at its replicas, and model endpoints of fake ones. */
export class ReplicaTests {
  private readonly started: FakeReplica[] = [];
  private count = 0;

  private constructor(readonly stack: ChatStack) {}

  static async start(): Promise<ReplicaTests> {
    return new ReplicaTests(
      await startChatStack({
        CATENA_PROBE_INTERVAL_MS: String(PROBE_MS),
        // Long enough for a busy machine: a late answer is a failed probe.
        CATENA_PROBE_TIMEOUT_MS: '500',
        CATENA_LOAD_INTERVAL_MS: '30',
        CATENA_BREAKER_FAILURES: '3',
        CATENA_BREAKER_OPEN_MS: String(OPEN_MS),
      }),
    );
  }

  async startReplica(): Promise<FakeReplica> {
    const replica = await FakeReplica.start();
    this.started.push(replica);
    return replica;
  }

  /** To be called after each test. */
  async stopReplicas(): Promise<void> {
    for (const replica of this.started.splice(0)) {
      replica.letGo();
      await replica.die();
    }
  }

  /** A model endpoint of so many replicas, and a serving endpoint of the same name over it. */
  async serve(
    replicas: number,
    content: object = {},
    maxConcurrencyPerReplica = 64,
  ): Promise<{ readonly name: string; readonly replicas: readonly FakeReplica[] }> {
    const made = await Promise.all(Array.from({ length: replicas }, () => this.startReplica()));
    const name = `replicas-${this.count++}`;
    await this.setReplicas(name, made, maxConcurrencyPerReplica);
    await this.stack.serve(name, { generate: { modelEndpoint: name, model: 'small' }, ...content });
    await eventually(() => this.lane(name)?.replicas.length === replicas);
    return { name, replicas: made };
  }

  async setReplicas(
    name: string,
    replicas: readonly FakeReplica[],
    maxConcurrencyPerReplica = 64,
  ): Promise<void> {
    await this.stack.rows.setModelEndpoint(name, {
      replicas: replicas.map(({ url }) => url),
      maxConcurrencyPerReplica,
    });
  }

  lane = (name: string): ReplicaLane =>
    this.stack.gateway.gateway.app.get(ReplicaLanes, { strict: false }).find(name)!;

  /** What the gateway knows of a replica. */
  known = (name: string, replica: FakeReplica): Replica =>
    this.lane(name).replicas.find(({ baseUrl }) => baseUrl === replica.url)!;

  ask = (model: string): Promise<Response> => this.stack.post({ ...say('Hi'), model });

  /** Asks one after the other. Returns the statuses, each once. */
  askTimes = async (times: number, model: string): Promise<number[]> => {
    const seen = new Set<number>();
    for (let n = 0; n < times; n++) seen.add(await statusOf(this.ask(model)));
    return [...seen];
  };

  /** Value of a metric, by any part of its labels. */
  gauge = async (name: string, labels: string): Promise<number | undefined> => {
    const { body } = await this.stack.gateway.get('/metrics');
    const line = String(body)
      .split('\n')
      .find((text) => text.startsWith(`${name}{`) && text.includes(labels));
    return line === undefined ? undefined : Number(line.split(' ').at(-1));
  };
}

export async function statusOf(answer: Promise<Response>): Promise<number> {
  const { status, body } = await answer;
  await body?.cancel();
  return status;
}
