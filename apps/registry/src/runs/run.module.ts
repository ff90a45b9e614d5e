import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { KINDS } from '#libs/core/content/schemas.js';
import { EntriesModule } from '../entries/entries.module.js';
import { Experiment } from '../experiments/experiment.entity.js';
import { ExperimentModule } from '../experiments/experiment.module.js';
import { MetricController } from '../metrics/metric.controller.js';
import { MetricModule } from '../metrics/metric.module.js';
import { SearchModule } from '../search/search.module.js';
import { Workspace } from '../workspaces/workspace.entity.js';
import { RunCompareController } from './compare/run-compare.controller.js';
import { RunCompare } from './compare/run-compare.service.js';
import { RunController } from './run.controller.js';
import { Run } from './run.entity.js';
import { RunDetails } from './run-details.js';
import { RunLog } from './log/run-log.service.js';
import { RunSearchController } from './run-search.controller.js';
import { RunService } from './run.service.js';
import { RunVersions } from './versions/run-versions.js';
import { versionRunsController } from './versions/version-runs.controller.js';
import { VersionRuns } from './versions/version-runs.service.js';

@Module({
  imports: [
    TypeOrmModule.forFeature([Workspace, Experiment, Run]),
    ExperimentModule,
    MetricModule,
    EntriesModule,
    SearchModule,
  ],
  // In this order: a fixed path comes before one with a parameter in its place.
  controllers: [
    RunCompareController,
    RunSearchController,
    MetricController,
    RunController,
    ...KINDS.map((kind) => versionRunsController(kind)),
  ],
  providers: [RunService, RunLog, RunVersions, RunDetails, RunCompare, VersionRuns],
  exports: [RunService, RunLog],
})
export class RunModule {}
