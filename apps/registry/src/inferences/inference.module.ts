import { Module } from '@nestjs/common';
import { InferenceController } from './inference.controller.js';
import { InferenceService } from './inference.service.js';
import { UsageController } from './usage.controller.js';
import { UsageService } from './usage.service.js';

@Module({
  controllers: [InferenceController, UsageController],
  providers: [InferenceService, UsageService],
})
export class InferenceModule {}
