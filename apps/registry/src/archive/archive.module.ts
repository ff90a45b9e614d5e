import { Module } from '@nestjs/common';
import { ArtifactModule } from '../artifacts/artifact.module.js';
import { ArchiveCache } from './archive-cache.js';
import { ArchiveJob } from './archive-job.js';
import { ArchiveReader } from './archive-reader.js';
import { ArchiveRows } from './archive-rows.js';
import { Archiver } from './archiver.js';
import { DuckDb } from './duck.js';

@Module({
  imports: [ArtifactModule],
  providers: [DuckDb, ArchiveCache, ArchiveRows, Archiver, ArchiveJob, ArchiveReader],
  exports: [ArchiveReader, DuckDb],
})
export class ArchiveModule {}
