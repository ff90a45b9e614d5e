import { Module } from '@nestjs/common';
import { MetricsModule } from '../metrics/metrics.module.js';
import { ChangeFeed } from './change-feed.js';
import { SnapshotFile } from './snapshot-file.js';
import { SnapshotSaver } from './snapshot-saver.js';
import { SnapshotStore } from './snapshot.store.js';

@Module({
  imports: [MetricsModule],
  providers: [SnapshotStore, SnapshotFile, SnapshotSaver, ChangeFeed],
  exports: [SnapshotStore],
})
export class SnapshotModule {}
