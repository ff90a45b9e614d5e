import { Module } from '@nestjs/common';
import { MetricsModule } from '../metrics/metrics.module.js';
import { SnapshotModule } from '../snapshot/snapshot.module.js';
import { BudgetReader } from './budget-reader.js';
import { Limiter } from './limiter.js';

@Module({ imports: [MetricsModule, SnapshotModule], providers: [Limiter, BudgetReader], exports: [Limiter] })
export class LimitsModule {}
