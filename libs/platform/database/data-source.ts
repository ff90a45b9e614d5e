import 'reflect-metadata';
import { DataSource, type DataSourceOptions, type EntityTarget, type ObjectLiteral } from 'typeorm';
import { Foundation1795305600001 } from '../../../migrations/1795305600001-foundation.js';
import { Registry1795305600002 } from '../../../migrations/1795305600002-registry.js';
import { Artifacts1795305600003 } from '../../../migrations/1795305600003-artifacts.js';
import { Serving1795305600004 } from '../../../migrations/1795305600004-serving.js';
import { Inferences1795305600005 } from '../../../migrations/1795305600005-inferences.js';
import { Tracking1795305600006 } from '../../../migrations/1795305600006-tracking.js';
import { VersionNotes1795305600007 } from '../../../migrations/1795305600007-version-notes.js';
import { RunArtifacts1795305600008 } from '../../../migrations/1795305600008-run-artifacts.js';
import { Traces1795305600010 } from '../../../migrations/1795305600010-traces.js';
import { Webhooks1795305600009 } from '../../../migrations/1795305600009-webhooks.js';
import { RunChange1795305600011 } from '../../../migrations/1795305600011-run-change.js';
import { Review1795305600012 } from '../../../migrations/1795305600012-review.js';
import { Callers1795305600013 } from '../../../migrations/1795305600013-callers.js';
import { Protocols1795305600014 } from '../../../migrations/1795305600014-protocols.js';
import { CostAndClearance1795305600016 } from '../../../migrations/1795305600016-cost-and-clearance.js';
import { Contracts1795305600017 } from '../../../migrations/1795305600017-contracts.js';
import { ShadowsAndCache1795305600018 } from '../../../migrations/1795305600018-shadows-and-cache.js';
import { RunPages1795305600020 } from '../../../migrations/1795305600020-run-pages.js';
import { Volume1795305600021 } from '../../../migrations/1795305600021-volume.js';
import { Archive1795305600022 } from '../../../migrations/1795305600022-archive.js';
import { Feedback1795305600023 } from '../../../migrations/1795305600023-feedback.js';
import { AbTests1795305600024 } from '../../../migrations/1795305600024-ab-tests.js';
import { Rollups1795305600025 } from '../../../migrations/1795305600025-rollups.js';
import { AbTestSteering1795305600026 } from '../../../migrations/1795305600026-ab-test-steering.js';
import { readInt8AsNumber } from './int8.js';

readInt8AsNumber();

const migrations = [
  Foundation1795305600001,
  Registry1795305600002,
  Artifacts1795305600003,
  Serving1795305600004,
  Inferences1795305600005,
  Tracking1795305600006,
  VersionNotes1795305600007,
  RunArtifacts1795305600008,
  Webhooks1795305600009,
  Traces1795305600010,
  RunChange1795305600011,
  Review1795305600012,
  Callers1795305600013,
  Protocols1795305600014,
  CostAndClearance1795305600016,
  Contracts1795305600017,
  ShadowsAndCache1795305600018,
  RunPages1795305600020,
  Volume1795305600021,
  Archive1795305600022,
  Feedback1795305600023,
  AbTests1795305600024,
  Rollups1795305600025,
  AbTestSteering1795305600026,
];

export interface DatabaseOptions {
  readonly url: string;
  /** Most connections of the pool. */
  readonly poolSize: number;
  /** Shown in pg_stat_activity. */
  readonly applicationName: string;
  /** Longest time for one statement; absent or 0: any. */
  readonly statementTimeoutMs?: number;
  readonly entities?: readonly EntityTarget<ObjectLiteral>[];
}

export function dataSourceOptions(options: DatabaseOptions): DataSourceOptions {
  return {
    type: 'postgres',
    url: options.url,
    applicationName: options.applicationName,
    poolSize: options.poolSize,
    connectTimeoutMS: 5_000,
    entities: [...(options.entities ?? [])] as Function[],
    migrations,
    migrationsTableName: 'migration',
    migrationsTransactionMode: 'each',
    synchronize: false,
    logging: ['warn'],
    ...(options.statementTimeoutMs && { extra: { statement_timeout: options.statementTimeoutMs } }),
  };
}

/**
 * Brings the schema up to date. Processes that start together take turns on an advisory lock.
 * @returns names of the migrations that ran.
 */
export async function migrate(url: string): Promise<string[]> {
  const source = new DataSource(dataSourceOptions({ url, poolSize: 2, applicationName: 'catena-migrate' }));
  await source.initialize();
  const guard = source.createQueryRunner();
  try {
    await guard.query(`SELECT pg_advisory_lock(hashtext('catena_migrate'))`);
    const ran = await source.runMigrations();
    return ran.map((migration) => migration.name);
  } finally {
    await guard.release();
    await source.destroy();
  }
}
