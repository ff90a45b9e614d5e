import { Module } from '@nestjs/common';
import { MetricsModule } from '../metrics/metrics.module.js';
import { SpoolService } from './spool.service.js';

@Module({ imports: [MetricsModule], providers: [SpoolService], exports: [SpoolService] })
export class SpoolModule {}
