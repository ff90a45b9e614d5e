import { Module } from '@nestjs/common';
import { ExperimentModule } from '../experiments/experiment.module.js';
import { IssueAnswers } from './issue-answers.js';
import { IssueController } from './issue.controller.js';
import { IssueService } from './issue.service.js';

@Module({
  imports: [ExperimentModule],
  controllers: [IssueController],
  providers: [IssueService, IssueAnswers],
  exports: [IssueService],
})
export class IssueModule {}
