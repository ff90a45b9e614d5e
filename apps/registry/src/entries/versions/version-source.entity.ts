import { Column, Entity as Table, ForeignKey, Index, PrimaryColumn } from 'typeorm';
import { Version } from './version.entity.js';

/** Where a version came from, joinable; the content of the version says the same. */
@Table('version_source')
@Index('version_source_run_idx', ['workspaceId', 'runId'], { where: 'run_id IS NOT NULL' })
@Index('version_source_model_idx', ['workspaceId', 'modelId'], { where: 'model_id IS NOT NULL' })
export class VersionSource {
  @ForeignKey(() => Version, { name: 'version_source_version_fk' })
  @PrimaryColumn('uuid', { name: 'version_id', primaryKeyConstraintName: 'version_source_pk' })
  versionId!: string;

  @Column('uuid', { name: 'workspace_id' })
  workspaceId!: string;

  @Column('text')
  source!: string;

  @Column({
    type: 'text',
    name: 'run_id',
    collation: 'C',
    nullable: true,
    comment: 'as the client gave it: a run of this registry, or of elsewhere',
  })
  runId!: string | null;

  @Column({ type: 'text', name: 'model_id', collation: 'C', nullable: true })
  modelId!: string | null;
}
