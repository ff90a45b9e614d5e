import { Module } from '@nestjs/common';
import { SnapshotModule } from '../snapshot/snapshot.module.js';
import { Callers } from './callers.js';
import { KeyUse } from './key-use.js';

@Module({ imports: [SnapshotModule], providers: [Callers, KeyUse], exports: [Callers] })
export class CallersModule {}
