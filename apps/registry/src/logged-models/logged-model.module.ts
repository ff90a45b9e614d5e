import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { ExperimentModule } from '../experiments/experiment.module.js';
import { MetricModule } from '../metrics/metric.module.js';
import { RunModule } from '../runs/run.module.js';
import { LoggedModelController } from './logged-model.controller.js';
import { LoggedModel } from './logged-model.entity.js';
import { LoggedModelReader } from './logged-model.reader.js';
import { LoggedModelSearchService } from './logged-model-search.service.js';
import { LoggedModelService } from './logged-model.service.js';

@Module({
  imports: [TypeOrmModule.forFeature([LoggedModel]), ExperimentModule, MetricModule, RunModule],
  controllers: [LoggedModelController],
  providers: [LoggedModelReader, LoggedModelService, LoggedModelSearchService],
  exports: [LoggedModelService, LoggedModelSearchService],
})
export class LoggedModelModule {}
