import { Module } from '@nestjs/common';
import { MetricsModule } from '../metrics/metrics.module.js';
import { SnapshotModule } from '../snapshot/snapshot.module.js';
import { BudgetReader } from './budget-reader.js';
import { Limiter } from './limiter.js';
import { SharedLimits } from './shared/shared-limits.js';

@Module({
  imports: [MetricsModule, SnapshotModule],
  providers: [Limiter, BudgetReader, SharedLimits],
  exports: [Limiter, SharedLimits],
})
export class LimitsModule {}
