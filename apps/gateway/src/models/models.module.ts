import { Module } from '@nestjs/common';
import { CallersModule } from '../callers/callers.module.js';
import { HttpModule } from '../http/http.module.js';
import { SnapshotModule } from '../snapshot/snapshot.module.js';
import { ModelsRoutes } from './models.routes.js';

@Module({ imports: [CallersModule, HttpModule, SnapshotModule], providers: [ModelsRoutes] })
export class ModelsModule {}
