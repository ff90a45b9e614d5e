import { mkdir } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import type { Settings } from '#libs/platform/config/settings.js';
import { DirectoryLock } from '#libs/platform/lock/directory-lock.js';
import { Child } from './child.js';
import { EmbeddedStores, type StoresAddress } from './embedded-stores.js';
import { loadEncryptionKeys } from './encryption-keys.js';
import { assertFree, freePort } from './free-port.js';
import { removeRunningFile, writeRunningFile } from './running-file.js';
import { Service } from './service.js';
import { shownUrl } from './shown-url.js';

/** Name of the lock in the data directory that a running stack holds. */
export const LAUNCHER_LOCK = 'launcher.lock';

type Environment = Readonly<Record<string, string | undefined>>;

export interface Addresses {
  readonly registry: string;
  readonly gateway: string;
  readonly database: string;
  readonly s3: string;
  readonly dataDirectory: string;
  /** The environment the children got; for further children. */
  readonly environment: Environment;
}

/** Starts and stops the whole stack: embedded stores unless others are named, the registry, a gateway. */
export class Launcher {
  private lock: DirectoryLock | undefined;
  private stopStores: (() => Promise<void>) | undefined;
  private registry: Service | undefined;
  private gateway: Service | undefined;
  private readonly extras: Child[] = [];
  private stopping: Promise<void> | undefined;

  /**
   * @param environment what the children inherit.
   * @param say prints one line for a person.
   * @param onFailure called when something that cannot be started again has died.
   */
  constructor(
    private readonly settings: Settings,
    private readonly environment: Environment,
    private readonly say: (line: string) => void,
    private readonly onFailure: (message: string) => void,
  ) {}

  /** @throws Error whose message tells a person what to do. Call `stop` also then. */
  async start(): Promise<Addresses> {
    const { settings } = this;
    const dataDirectory = settings.CATENA_DATA_DIR;
    // As root, PostgreSQL runs as another user, which must be able to pass through.
    await mkdir(dataDirectory, { recursive: true, mode: userInfo().uid === 0 ? 0o711 : 0o700 });
    this.lock = DirectoryLock.acquire(
      dataDirectory,
      LAUNCHER_LOCK,
      `${dataDirectory} is in use by another Catena that is running. Stop it, or set CATENA_DATA_DIR to another directory.`,
    );
    const host = settings.CATENA_HOST;
    const registryPort = await this.claimPort(settings.CATENA_REGISTRY_PORT, 'CATENA_REGISTRY_PORT');
    const gatewayPort = await this.claimPort(settings.CATENA_GATEWAY_PORT, 'CATENA_GATEWAY_PORT');
    if (registryPort === gatewayPort)
      throw new Error(
        `CATENA_REGISTRY_PORT and CATENA_GATEWAY_PORT are both ${registryPort}. Give each a port of its own.`,
      );
    const stores = await this.startStores();
    const environment: Environment = {
      ...this.environment,
      ...stores,
      CATENA_DATA_DIR: dataDirectory,
      CATENA_ENCRYPTION_KEYS: settings.CATENA_ENCRYPTION_KEYS ?? (await loadEncryptionKeys(dataDirectory)),
      CATENA_REGISTRY_PORT: String(registryPort),
      CATENA_GATEWAY_PORT: String(gatewayPort),
    };
    const registry = `http://${reachable(host)}:${registryPort}`;
    const gateway = `http://${reachable(host)}:${gatewayPort}`;
    this.registry = new Service(
      { name: 'registry', file: entry('registry'), env: environment },
      `${registry}/readyz`,
      this.say,
    );
    this.gateway = new Service(
      { name: 'gateway', file: entry('gateway'), env: environment },
      `${gateway}/readyz`,
      this.say,
    );
    this.assertGoingOn();
    await this.registry.start(); // first: it brings the schema up to date
    this.assertGoingOn();
    await this.gateway.start();
    return {
      registry,
      gateway,
      database: shownUrl(environment['DATABASE_URL']!),
      s3: environment['S3_ENDPOINT']!,
      dataDirectory,
      environment,
    };
  }

  /** A further child that lives as long as the stack; the demo's simulators. @returns its first message. */
  async startExtra(name: string, app: string, args: readonly string[], env: Environment): Promise<unknown> {
    this.assertGoingOn();
    const child = new Child({ name, file: entry(app), args, env });
    this.extras.push(child);
    return Promise.race([
      child.firstMessage,
      child.ended.then((ending) => {
        throw new Error(`The ${name} ended at start (${ending}); its messages are above.`);
      }),
    ]);
  }

  /** Ends everything in order: who writes before who stores. */
  async stop(): Promise<void> {
    this.stopping ??= (async () => {
      await this.gateway?.stop();
      await this.registry?.stop();
      await Promise.all(this.extras.map((child) => child.stop()));
      if (this.lock) await removeRunningFile(this.settings.CATENA_DATA_DIR);
      await this.stopStores?.();
      this.lock?.release();
    })();
    return this.stopping;
  }

  /** Ends the stateless children at once; the stores notice by themselves and still stop PostgreSQL. */
  kill(): void {
    this.gateway?.kill();
    this.registry?.kill();
    for (const child of this.extras) child.kill();
  }

  private async claimPort(wanted: number, variable: string): Promise<number> {
    if (wanted === 0) return freePort(this.settings.CATENA_HOST);
    await assertFree(wanted, this.settings.CATENA_HOST, variable);
    return wanted;
  }

  private async startStores(): Promise<StoresAddress> {
    const stores = await EmbeddedStores.start(
      this.settings,
      this.environment,
      (stop) => (this.stopStores = stop),
    );
    void this.watchStores(stores);
    await writeRunningFile(this.settings.CATENA_DATA_DIR, stores.address);
    return stores.address;
  }

  private async watchStores(stores: EmbeddedStores): Promise<void> {
    const ending = await stores.ended();
    if (!this.stopping) this.onFailure(ending);
  }

  private assertGoingOn(): void {
    if (this.stopping) throw new Error('Stopped while starting.');
  }
}

function entry(app: string): string {
  return join(import.meta.dirname, '..', '..', app, 'src', 'main.js');
}

/** Where a client on this machine reaches a server bound to `host`. */
function reachable(host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1';
  if (host === '::') return '[::1]';
  return host.includes(':') ? `[${host}]` : host;
}
