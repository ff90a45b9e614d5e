import { Module } from '@nestjs/common';
import { HttpModule } from '../http/http.module.js';
import { LimitsModule } from '../limits/limits.module.js';
import { SnapshotModule } from '../snapshot/snapshot.module.js';
import { HealthRoutes } from './health.routes.js';

@Module({ imports: [HttpModule, LimitsModule, SnapshotModule], providers: [HealthRoutes] })
export class HealthModule {}
