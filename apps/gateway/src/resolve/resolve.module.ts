import { Module } from '@nestjs/common';
import { CallersModule } from '../callers/callers.module.js';
import { HttpModule } from '../http/http.module.js';
import { SnapshotModule } from '../snapshot/snapshot.module.js';
import { ResolveRoutes } from './resolve.routes.js';

@Module({ imports: [CallersModule, HttpModule, SnapshotModule], providers: [ResolveRoutes] })
export class ResolveModule {}
