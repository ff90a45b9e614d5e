import { Module } from '@nestjs/common';
import { CallersModule } from '../callers/callers.module.js';
import { HttpModule } from '../http/http.module.js';
import { MetricsModule } from '../metrics/metrics.module.js';
import { FeedbackIntake } from './feedback-intake.js';
import { FeedbackLinkRoutes } from './feedback-link.routes.js';
import { FeedbackRoutes } from './feedback.routes.js';

@Module({
  imports: [CallersModule, HttpModule, MetricsModule],
  providers: [FeedbackIntake, FeedbackRoutes, FeedbackLinkRoutes],
})
export class FeedbackModule {}
