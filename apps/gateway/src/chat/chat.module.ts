import { Module } from '@nestjs/common';
import { AnswerCache } from '../cache/answer-cache.js';
import { CallersModule } from '../callers/callers.module.js';
import { ReplicaLanes } from '../dispatch/replica-lanes.js';
import { HttpModule } from '../http/http.module.js';
import { LimitsModule } from '../limits/limits.module.js';
import { MetricsModule } from '../metrics/metrics.module.js';
import { Shadows } from '../shadows/shadows.js';
import { SnapshotModule } from '../snapshot/snapshot.module.js';
import { SpoolModule } from '../spool/spool.module.js';
import { ChatRoutes } from './chat.routes.js';

@Module({
  imports: [CallersModule, HttpModule, LimitsModule, MetricsModule, SnapshotModule, SpoolModule],
  providers: [AnswerCache, ChatRoutes, ReplicaLanes, Shadows],
})
export class ChatModule {}
