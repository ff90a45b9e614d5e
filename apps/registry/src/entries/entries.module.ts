import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { KINDS } from '#libs/core/content/schemas.js';
import { ModelEndpointModule } from '../model-endpoints/model-endpoint.module.js';
import { WebhookModule } from '../webhooks/webhook.module.js';
import { Workspace } from '../workspaces/workspace.entity.js';
import { aliasController } from './aliases/alias.controller.js';
import { Alias } from './aliases/alias.entity.js';
import { AliasMove } from './aliases/alias-move.entity.js';
import { AliasService } from './aliases/alias.service.js';
import { DiffService } from './diff/diff.service.js';
import { entryController } from './entry.controller.js';
import { Entry } from './entry.entity.js';
import { EntryService } from './entry.service.js';
import { Pinning } from './versions/pinning.js';
import { RegistryReader } from './registry.reader.js';
import { RetirementService } from './versions/retirement.service.js';
import { SchemasController } from './schemas/schemas.controller.js';
import { SharedNames } from './shared-names.js';
import { versionController } from './versions/version.controller.js';
import { Version } from './versions/version.entity.js';
import { VersionLookup } from './versions/version-lookup.js';
import { VersionNote } from './versions/version-note.entity.js';
import { VersionNoteService } from './versions/version-note.service.js';
import { VersionReader } from './versions/version.reader.js';
import { VersionReference } from './versions/version-reference.entity.js';
import { VersionService } from './versions/version.service.js';
import { VersionSource } from './versions/version-source.entity.js';
import { VersionWriter } from './versions/version-writer.js';

/** Prompts, models and chains: one concept, three kinds; only the schema of the content and the paths differ. */
@Module({
  imports: [
    TypeOrmModule.forFeature([
      Workspace,
      Entry,
      Version,
      VersionReference,
      VersionNote,
      VersionSource,
      Alias,
      AliasMove,
    ]),
    ModelEndpointModule,
    WebhookModule,
  ],
  controllers: [
    ...KINDS.flatMap((kind) => [entryController(kind), versionController(kind), aliasController(kind)]),
    SchemasController,
  ],
  providers: [
    EntryService,
    VersionService,
    VersionWriter,
    VersionNoteService,
    VersionReader,
    VersionLookup,
    Pinning,
    AliasService,
    RetirementService,
    RegistryReader,
    SharedNames,
    DiffService,
  ],
  exports: [
    EntryService,
    VersionService,
    VersionNoteService,
    VersionLookup,
    AliasService,
    RetirementService,
    RegistryReader,
    SharedNames,
  ],
})
export class EntriesModule {}
