import { Module } from '@nestjs/common';
import { ExperimentModule } from '../experiments/experiment.module.js';
import { ReviewItemService } from './review-item.service.js';
import { ReviewQueueAnswers } from './review-queue-answers.js';
import { ReviewQueueController } from './review-queue.controller.js';
import { ReviewQueueService } from './review-queue.service.js';

@Module({
  imports: [ExperimentModule],
  controllers: [ReviewQueueController],
  providers: [ReviewQueueService, ReviewItemService, ReviewQueueAnswers],
  exports: [ReviewQueueService, ReviewItemService],
})
export class ReviewQueueModule {}
