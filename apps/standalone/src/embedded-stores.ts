import { join } from 'node:path';
import type { Settings } from '#libs/platform/config/settings.js';
import { Child } from './child.js';
import { EMBEDDED_S3_CREDENTIALS } from './embedded-s3.js';
import type { StoresPlan, StoresReport } from './stores-plan.js';

type Environment = Readonly<Record<string, string | undefined>>;

/** Where the stores are, for the environment of whoever uses them. */
export interface StoresAddress {
  readonly DATABASE_URL?: string;
  readonly S3_ENDPOINT?: string;
  readonly AWS_ACCESS_KEY_ID?: string;
  readonly AWS_SECRET_ACCESS_KEY?: string;
}

/** The stores that no setting names, started as a child of this process. */
export class EmbeddedStores {
  private constructor(
    private readonly child: Child | undefined,
    readonly address: StoresAddress,
  ) {}

  /** @throws Error whose message tells a person what to do. */
  static async start(
    settings: Settings,
    environment: Environment,
    onChild: (stop: () => Promise<void>) => void,
  ): Promise<EmbeddedStores> {
    const directory = settings.CATENA_DATA_DIR;
    const plan: StoresPlan = {
      ...(settings.DATABASE_URL === undefined && { postgres: { directory: join(directory, 'postgres') } }),
      ...(settings.S3_ENDPOINT === undefined && {
        s3: { directory: join(directory, 's3'), bucket: settings.S3_BUCKET },
      }),
    };
    if (!plan.postgres && !plan.s3) return new EmbeddedStores(undefined, {});
    const child = new Child({
      name: 'embedded stores',
      file: join(import.meta.dirname, 'stores.js'),
      args: [JSON.stringify(plan)],
      env: environment,
    });
    onChild(() => child.stop()); // also while it is starting
    const report = await Promise.race([child.firstMessage as Promise<StoresReport>, child.ended]);
    if (typeof report === 'string') throw new Error(`The embedded stores ended at start (${report}).`);
    if (report.type === 'failed') throw new Error(report.message);
    return new EmbeddedStores(child, {
      ...(plan.postgres && { DATABASE_URL: report.databaseUrl! }),
      ...(plan.s3 && {
        S3_ENDPOINT: `http://127.0.0.1:${report.s3Port}`,
        AWS_ACCESS_KEY_ID: EMBEDDED_S3_CREDENTIALS.accessKeyId,
        AWS_SECRET_ACCESS_KEY: EMBEDDED_S3_CREDENTIALS.secretAccessKey,
      }),
    });
  }

  /** Settles with the reason when they end; never where there are none. */
  async ended(): Promise<string> {
    if (!this.child) return new Promise(() => undefined);
    const ending = await this.child.ended;
    const last = this.child.lastMessage as StoresReport;
    return last.type === 'failed' ? last.message : `The embedded stores have ended (${ending}).`;
  }
}
