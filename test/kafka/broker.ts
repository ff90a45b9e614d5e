import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Admin } from '@platformatic/kafka';
import { freePort } from '../../apps/standalone/src/free-port.js';
import type { Kafka } from './find-kafka.js';

/** Any 16 bytes, as Kafka writes them. */
const CLUSTER = '4L6g3nShT-eMCtK--X86sw';
const JAVA = ['-Xmx256m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-Xshare:auto'];

interface Extras {
  /** Another one, as in `NAME://host:port`. */
  readonly listener?: string;
  readonly properties?: string;
  readonly format?: readonly string[];
}

/** A real Apache Kafka of one node on loopback, to be killed, stalled and started again on the same port. */
export class KafkaBroker {
  private child: ChildProcess | undefined;
  private exited: Promise<void> = Promise.resolve();

  private constructor(
    readonly port: number,
    private readonly directory: string,
    private readonly kafka: Kafka,
  ) {}

  /** @param more lines of server.properties, and of the command that makes its storage. */
  static async start(kafka: Kafka = fromEnvironment(), more: Extras = {}): Promise<KafkaBroker> {
    const directory = await mkdtemp(join(tmpdir(), 'catena-kafka-'));
    const [port, controllerPort] = [await freePort(), await freePort()];
    const broker = new KafkaBroker(port, directory, kafka);
    await writeFile(
      join(directory, 'server.properties'),
      properties(port, controllerPort, directory, more.listener ?? '') + (more.properties ?? ''),
    );
    const format = ['format', '--standalone', '-t', CLUSTER, ...(more.format ?? []), '-c'];
    await promisify(execFile)(kafka.java, broker.arguments('kafka.tools.StorageTool', ...format));
    await broker.start();
    return broker;
  }

  get url(): string {
    return `127.0.0.1:${this.port}`;
  }

  /** With all that it had. One that runs goes on. */
  async start(): Promise<void> {
    if (this.child) return;
    const child = spawn(this.kafka.java, this.arguments('kafka.Kafka'), {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.child = child;
    // A test that fails may not get as far as to stop it.
    const end = () => child.kill('SIGKILL');
    process.once('exit', end);
    let log = '';
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text: string) => (log = (log + text).slice(-10_000)));
    let isOver = false;
    this.exited = new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('close', () => {
        isOver = true;
        this.child = undefined;
        process.off('exit', end);
        resolve();
      });
    });
    const deadline = performance.now() + 60_000;
    while (!(await this.answers())) {
      if (isOver || performance.now() > deadline) throw new Error(`Kafka did not start: ${log}`);
      await sleep(50);
    }
  }

  /** SIGKILL: nothing is told to anybody. */
  async kill(): Promise<void> {
    this.child?.kill('SIGKILL');
    await this.exited;
  }

  /** It keeps its connections and answers nothing. */
  stall(): void {
    this.child?.kill('SIGSTOP');
  }

  resume(): void {
    this.child?.kill('SIGCONT');
  }

  async stop(): Promise<void> {
    this.resume();
    await this.kill();
    await rm(this.directory, { recursive: true, force: true });
  }

  private arguments(...of: string[]): string[] {
    return [...JAVA, '-cp', `${this.kafka.jars}/*`, ...of, join(this.directory, 'server.properties')];
  }

  private async answers(): Promise<boolean> {
    const admin = new Admin({
      clientId: 'test',
      bootstrapBrokers: [this.url],
      retries: 0,
      connectTimeout: 1_000,
    });
    try {
      return (await admin.metadata({ topics: [], forceUpdate: true })).brokers.size === 1;
    } catch {
      return false;
    } finally {
      await admin.close().catch(() => undefined);
    }
  }
}

function fromEnvironment(): Kafka {
  const { KAFKA_JAVA: java, KAFKA_JARS: jars } = process.env;
  if (!java || !jars)
    throw new Error('There is no Kafka to test with. `npm run test:kafka` finds one and sets KAFKA_JAVA.');
  return { java, jars };
}

/** https://kafka.apache.org/41/configuration/broker-configs/ */
const properties = (port: number, controllerPort: number, directory: string, listener: string) => `
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controllerPort}${listener && `,${listener}`}
controller.listener.names=CONTROLLER
controller.quorum.bootstrap.servers=127.0.0.1:${controllerPort}
log.dirs=${directory}/data
num.partitions=1
auto.create.topics.enable=false
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=500
`;
