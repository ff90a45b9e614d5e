import { Module } from '@nestjs/common';
import { ArchiveModule } from '../archive/archive.module.js';
import { FeedbackModule } from '../feedback/feedback.module.js';
import { RetentionModule } from '../retention/retention.module.js';
import { InferenceController } from './inference.controller.js';
import { InferenceService } from './inference.service.js';
import { UsageController } from './usage.controller.js';
import { UsageService } from './usage.service.js';

@Module({
  imports: [ArchiveModule, FeedbackModule, RetentionModule],
  controllers: [InferenceController, UsageController],
  providers: [InferenceService, UsageService],
})
export class InferenceModule {}
