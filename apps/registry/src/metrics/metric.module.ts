import { Module } from '@nestjs/common';
import { MetricHistory } from './metric-history.service.js';
import { TrackingKeys } from './tracking-keys.js';

/** Its routes lie below those of runs, and are registered there. */
@Module({ providers: [TrackingKeys, MetricHistory], exports: [TrackingKeys, MetricHistory] })
export class MetricModule {}
