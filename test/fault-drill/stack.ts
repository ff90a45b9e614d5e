import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import { createSimulator } from '../../apps/model-simulator/src/simulator.js';
import { EmbeddedPostgres } from '../../apps/standalone/src/embedded-postgres.js';
import { startEmbeddedS3 } from '../../apps/standalone/src/embedded-s3.js';
import { freePort } from '../../apps/standalone/src/free-port.js';
import { migrate } from '../../libs/platform/database/data-source.js';
import { KafkaBroker } from '../kafka/broker.js';
import { findKafka } from '../kafka/find-kafka.js';
import { Topics } from '../kafka/topics.js';
import { TEST_ENCRYPTION_KEYS } from '../support/keys.js';
import { ServingRows } from '../support/serving-rows.js';
import { TcpProxy } from '../support/tcp-proxy.js';
import { Server } from './server.js';

export const GROUP = 'catena-feedback';

/** PostgreSQL, S3, Kafka, a simulated replica, and as many registries and gateways as a fault wants. All on loopback. */
export class Stack {
  private count = 0;

  private constructor(
    private readonly started: AsyncDisposableStack,
    private readonly directory: string,
    private readonly pgPort: number,
    private postgres: EmbeddedPostgres,
    /** Between the registries and S3. */
    readonly s3: TcpProxy,
    readonly topics: Topics,
    readonly feedbackTopic: string,
    readonly inferenceTopic: string,
    private readonly settings: Record<string, string>,
  ) {}

  static async start(): Promise<Stack> {
    await using started = new AsyncDisposableStack();
    const directory = await mkdtemp(join(tmpdir(), 'catena-fault-drill-'));
    started.defer(() => rm(directory, { recursive: true, force: true }));
    await chmod(directory, 0o755);
    const pgPort = await freePort();
    const postgres = await EmbeddedPostgres.start(join(directory, 'postgres'), pgPort, FLAGS);
    let stack: Stack | undefined;
    started.defer(() => (stack?.postgres ?? postgres).stop());
    await migrate(postgres.url());
    const store = await startEmbeddedS3(join(directory, 's3'), 0, 'catena');
    started.defer(() => {
      store.server.close();
      store.server.closeAllConnections();
    });
    const s3 = await TcpProxy.start('127.0.0.1', store.port);
    started.defer(() => s3.close());
    const broker = await KafkaBroker.start(await findKafka());
    started.defer(() => broker.stop());
    const topics = new Topics(broker);
    const feedbackTopic = await topics.create('feedback', 3);
    const inferenceTopic = await topics.create('inferences', 3);
    const simulator = await createSimulator({
      port: 0,
      ttftMs: 5,
      tokensPerSecond: 2000,
      jitter: 0,
      models: ['small'],
    });
    started.defer(() => simulator.close());
    const settings = {
      DATABASE_URL: postgres.url(),
      CATENA_ENCRYPTION_KEYS: TEST_ENCRYPTION_KEYS,
      CATENA_FOLLOW_INTERVAL_MS: '200',
    };
    stack = new Stack(
      started.move(),
      directory,
      pgPort,
      postgres,
      s3,
      topics,
      feedbackTopic,
      inferenceTopic,
      { ...settings, CATENA_KAFKA_BROKERS: broker.url },
    );
    await stack.withClient(async (client) => {
      const rows = new ServingRows(client);
      await rows.setModelEndpoint('gpu', { replicas: [`${simulator.url}/v1`] });
      const chain = await rows.addChain('chat');
      await rows.setSplit('chat', [{ name: 'only', weightBps: 10_000, chain }]);
    });
    return stack;
  }

  /** Ends all that was started, the last first. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.started.disposeAsync();
  }

  async registry(more: Record<string, string> = {}): Promise<Server> {
    const { CATENA_KAFKA_BROKERS: _, ...settings } = this.settings;
    const server = await Server.start('registry', {
      ...settings,
      S3_ENDPOINT: `http://127.0.0.1:${this.s3.port}`,
      AWS_ACCESS_KEY_ID: 'S3RVER',
      AWS_SECRET_ACCESS_KEY: 'S3RVER',
      CATENA_DATA_DIR: this.dataDirectory(),
      ...more,
    });
    this.started.defer(() => server.kill());
    return server;
  }

  /** One that reads feedback from Kafka. */
  reader(more: Record<string, string> = {}): Promise<Server> {
    return this.registry({
      CATENA_KAFKA_BROKERS: this.settings['CATENA_KAFKA_BROKERS']!,
      CATENA_KAFKA_FEEDBACK_TOPIC: this.feedbackTopic,
      CATENA_KAFKA_FEEDBACK_GROUP: GROUP,
      ...more,
    });
  }

  /** One that publishes inferences to Kafka. */
  publisher(more: Record<string, string> = {}): Promise<Server> {
    return this.registry({
      CATENA_KAFKA_BROKERS: this.settings['CATENA_KAFKA_BROKERS']!,
      CATENA_KAFKA_INFERENCE_TOPIC: this.inferenceTopic,
      ...more,
    });
  }

  async gateway(more: Record<string, string> = {}, maxFileBlocks?: number): Promise<Server> {
    const { CATENA_KAFKA_BROKERS: _, CATENA_FOLLOW_INTERVAL_MS: __, ...settings } = this.settings;
    const env = { ...settings, CATENA_DATA_DIR: this.dataDirectory(), ...more };
    const server = await Server.start('gateway', env, maxFileBlocks);
    this.started.defer(() => server.kill());
    return server;
  }

  get databaseUrl(): string {
    return this.postgres.url();
  }

  /** Without a shutdown: as if it had crashed. */
  stopPostgres(): Promise<void> {
    return this.postgres.stop('SIGQUIT');
  }

  async startPostgres(): Promise<void> {
    this.postgres = await EmbeddedPostgres.start(join(this.directory, 'postgres'), this.pgPort, FLAGS);
  }

  async withClient<T>(work: (client: Client) => Promise<T>): Promise<T> {
    const client = new Client({ connectionString: this.postgres.url() });
    await client.connect();
    try {
      return await work(client);
    } finally {
      await client.end();
    }
  }

  /** The first column of what a statement finds. */
  column<T>(text: string, values: readonly unknown[] = []): Promise<T[]> {
    return this.withClient(async (client) => {
      const { rows } = await client.query<T[]>({ text, values: [...values], rowMode: 'array' });
      return rows.map(([first]) => first as T);
    });
  }

  private dataDirectory(): string {
    return join(this.directory, `data-${++this.count}`);
  }
}

const FLAGS = ['fsync=off', 'max_connections=200'];
