import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { SearchModule } from '../search/search.module.js';
import { Workspace } from '../workspaces/workspace.entity.js';
import { Experiment } from './experiment.entity.js';
import { ExperimentController } from './experiment.controller.js';
import { ExperimentService } from './experiment.service.js';

@Module({
  imports: [TypeOrmModule.forFeature([Workspace, Experiment]), SearchModule],
  controllers: [ExperimentController],
  providers: [ExperimentService],
  exports: [ExperimentService],
})
export class ExperimentModule {}
