import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { Workspace } from '../workspaces/workspace.entity.js';
import { RunController } from './run.controller.js';
import { Run } from './run.entity.js';
import { RunService } from './run.service.js';

@Module({
  imports: [TypeOrmModule.forFeature([Workspace, Run])],
  controllers: [RunController],
  providers: [RunService],
  exports: [RunService],
})
export class RunModule {}
