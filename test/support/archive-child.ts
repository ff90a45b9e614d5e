/** Archives every day before `ARCHIVE_BEFORE`, in parts of `PART_BYTES`, and kills itself at step `KILL_AT`. */
import 'reflect-metadata';
import { DataSource } from 'typeorm';
import { ArchiveCache } from '../../apps/registry/src/archive/archive-cache.js';
import { ArchiveJob } from '../../apps/registry/src/archive/archive-job.js';
import { ArchiveRows } from '../../apps/registry/src/archive/archive-rows.js';
import { Archiver } from '../../apps/registry/src/archive/archiver.js';
import { DuckDb } from '../../apps/registry/src/archive/duck.js';
import { storeOptions } from '../../apps/registry/src/artifacts/store-options.js';
import { Telemetry } from '../../apps/registry/src/telemetry/telemetry.js';
import { readSettings } from '#libs/platform/config/settings.js';
import { dataSourceOptions } from '#libs/platform/database/data-source.js';
import { ObjectStore } from '#libs/platform/object-store/object-store.js';

const { ARCHIVE_BEFORE, PART_BYTES, KILL_AT, ...environment } = process.env;
const settings = readSettings(environment);
const database = await new DataSource(
  dataSourceOptions({ url: settings.DATABASE_URL!, poolSize: 4, applicationName: 'archive-child' }),
).initialize();
const rows = new ArchiveRows(database);
const store = new ObjectStore(storeOptions(settings));
const duck = new DuckDb(settings);
const archiver = new Archiver(rows, store, new ArchiveCache(store, duck, settings), duck, settings);
archiver.partBytes = Number(PART_BYTES);
let steps = 0;
archiver.onStep = async (step) => {
  if (++steps !== Number(KILL_AT)) return;
  await new Promise((told) => process.stdout.write(`${step}\n`, told));
  process.kill(process.pid, 'SIGKILL');
  await new Promise(() => undefined);
};
const job = new ArchiveJob(database, rows, archiver, new Telemetry(), settings);
// Transactions in other databases hold up days too.
while ((await rows.listDue(ARCHIVE_BEFORE!)).length > 0)
  await job.archiveDue(new Date(`${ARCHIVE_BEFORE}T00:00:00Z`));
await database.destroy();
store.close();
