import { Module } from '@nestjs/common';
import { HttpModule } from '../http/http.module.js';
import { SnapshotModule } from '../snapshot/snapshot.module.js';
import { ModelsRoutes } from './models.routes.js';

@Module({ imports: [HttpModule, SnapshotModule], providers: [ModelsRoutes] })
export class ModelsModule {}
