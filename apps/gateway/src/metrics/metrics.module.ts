import { Module } from '@nestjs/common';
import { HttpModule } from '../http/http.module.js';
import { Metrics } from './metrics.js';
import { MetricsRoutes } from './metrics.routes.js';

@Module({ imports: [HttpModule], providers: [Metrics, MetricsRoutes], exports: [Metrics] })
export class MetricsModule {}
