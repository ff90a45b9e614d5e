import { Module } from '@nestjs/common';
import { ArrivalsModule } from '../arrivals/arrivals.module.js';
import { FeedbackEventFollower, FeedbackRowFollower } from './feedback-matcher.js';
import { FeedbackLinkController } from './feedback-link.controller.js';
import { FeedbackLinkService } from './feedback-link.service.js';
import { FeedbackReader } from './feedback-reader.js';
import { FeedbackController } from './feedback.controller.js';
import { FeedbackService } from './feedback.service.js';
import { FeedbackUpkeep } from './feedback-upkeep.js';

@Module({
  imports: [ArrivalsModule],
  controllers: [FeedbackController, FeedbackLinkController],
  providers: [
    FeedbackService,
    FeedbackLinkService,
    FeedbackReader,
    FeedbackEventFollower,
    FeedbackRowFollower,
    FeedbackUpkeep,
  ],
  exports: [FeedbackService, FeedbackReader],
})
export class FeedbackModule {}
