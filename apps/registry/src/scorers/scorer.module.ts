import { Module } from '@nestjs/common';
import { ExperimentModule } from '../experiments/experiment.module.js';
import { ScorerAnswers } from './scorer-answers.js';
import { ScorerController } from './scorer.controller.js';
import { ScorerService } from './scorer.service.js';

@Module({
  imports: [ExperimentModule],
  controllers: [ScorerController],
  providers: [ScorerService, ScorerAnswers],
  exports: [ScorerService],
})
export class ScorerModule {}
