import type { INestApplication } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { ExternalStore } from '../artifacts/external-store.js';
import { RunInputs } from '../datasets/run-inputs.service.js';
import type { Caller } from '../http/caller.js';
import { TrackingKeys } from '../metrics/tracking-keys.js';
import { RunLog } from '../runs/log/run-log.service.js';
import { ArtifactImport } from './artifact-import.js';
import { DatabaseSource } from './database-source.js';
import { ExperimentImport } from './experiment-import.js';
import { ImportRecords } from './import-records.js';
import { Importer } from './importer.js';
import { LoggedModelImport } from './logged-model-import.js';
import type { MlflowSource } from './mlflow-source.js';
import { RegistryImport } from './registry-import.js';
import { RestSource } from './rest-source.js';
import { RunImport } from './run-import.js';
import { UriArtifacts } from './source-artifacts.js';
import { verify } from './verify.js';

export interface ImportOptions {
  readonly from: string;
  readonly artifactsFrom?: string;
  /** False: bytes are left where they are. */
  readonly artifacts: boolean;
}

export interface ImportResult {
  readonly counts: Record<string, { source: number; here: number }>;
  /** What could not be brought, and what is not the same. Empty: all is well. */
  readonly problems: string[];
}

/** Brings all that the source holds, and verifies it. @param app a registry that listens on loopback. */
export async function importMlflow(
  app: INestApplication,
  caller: Caller,
  options: ImportOptions,
  say: (line: string) => void,
): Promise<ImportResult> {
  const database = app.get(DataSource);
  const keys = app.get(TrackingKeys, { strict: false });
  const isServer = /^https?:/.test(options.from);
  const server = isServer ? new RestSource(options.from) : undefined;
  const source: MlflowSource = server ?? (await DatabaseSource.open(options.from));
  try {
    const proxy = /^https?:/.test(options.artifactsFrom ?? '')
      ? new RestSource(options.artifactsFrom!)
      : server;
    const root = proxy === server ? options.artifactsFrom : undefined;
    const external = app.get(ExternalStore, { strict: false });
    const log = app.get(RunLog, { strict: false });
    const inputs = app.get(RunInputs, { strict: false });
    const records = new ImportRecords(database, caller.workspaceId, source.name);
    const importer = new Importer(
      {
        database,
        source,
        records,
        experiments: new ExperimentImport(database, records, caller),
        runs: new RunImport(database, keys, log, inputs, records, source, caller),
        loggedModels: new LoggedModelImport(database, keys, records, caller),
        registry: new RegistryImport(database, records, caller, source.name),
        artifacts: options.artifacts
          ? new ArtifactImport(`${await baseUrl(app)}/api/v1`, new UriArtifacts(external, proxy, root))
          : undefined,
      },
      say,
    );
    await importer.run();
    say('comparing');
    const verdict = await verify(database, records);
    const { files, bytes } = importer.artifactTotals;
    return {
      counts: {
        ...verdict.counts,
        ...(options.artifacts && {
          'artifacts seen': { source: files, here: files },
          bytes: { source: bytes, here: bytes },
        }),
      },
      problems: [...importer.problems, ...verdict.mismatches],
    };
  } finally {
    await source.close();
  }
}

async function baseUrl(app: INestApplication): Promise<string> {
  return (await app.getUrl()).replace('[::1]', '127.0.0.1');
}
