import { Module } from '@nestjs/common';
import { ArchiveModule } from '../archive/archive.module.js';
import { ExportController } from './export.controller.js';
import { ExportRows } from './export-rows.js';
import { ExportService } from './export.service.js';

@Module({ imports: [ArchiveModule], controllers: [ExportController], providers: [ExportRows, ExportService] })
export class ExportModule {}
