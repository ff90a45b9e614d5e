import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { Experiment } from '../experiments/experiment.entity.js';
import { RunModule } from '../runs/run.module.js';
import { DatasetController } from './dataset.controller.js';
import { SearchModule } from '../search/search.module.js';
import { Dataset } from './dataset.entity.js';
import { RunInputs } from './run-inputs.service.js';

@Module({
  imports: [TypeOrmModule.forFeature([Experiment, Dataset]), RunModule, SearchModule],
  controllers: [DatasetController],
  providers: [RunInputs],
  exports: [RunInputs],
})
export class DatasetModule {}
