import { Check, Column, Entity as Table, ForeignKey, Index, PrimaryColumn } from 'typeorm';
import type { Kind } from '#libs/core/content/schemas.js';
import { Workspace } from '../../workspaces/workspace.entity.js';
import { Version } from './version.entity.js';

export const STAGES = ['None', 'Staging', 'Production', 'Archived'] as const;
export type Stage = (typeof STAGES)[number];

/** What people say about a version; each has one from the start. */
@Table('version_note')
// Descending, which TypeORM cannot say.
@Index('version_note_updated_idx', { synchronize: false })
@Check('version_note_stage_check', `stage IN ('None', 'Staging', 'Production', 'Archived')`)
export class VersionNote {
  @ForeignKey(() => Version, { name: 'version_note_version_fk' })
  @PrimaryColumn('uuid', { name: 'version_id', primaryKeyConstraintName: 'version_note_pk' })
  versionId!: string;

  @ForeignKey(() => Workspace, { name: 'version_note_workspace_fk' })
  @Column('uuid', { name: 'workspace_id' })
  workspaceId!: string;

  @Column('text', { comment: 'that of the entry, which never changes: beside the time, for an index' })
  kind!: Kind;

  @Column('text', { nullable: true })
  description!: string | null;

  // Made with jsonb_path_ops, which TypeORM cannot say.
  @Index('version_note_tags_idx', { synchronize: false })
  @Column('jsonb')
  tags!: Record<string, string>;

  @Column('text', {
    comment: 'deprecated stage of the MLflow protocol: None, Staging, Production or Archived',
  })
  stage!: Stage;

  @Column('timestamptz', { name: 'updated_at' })
  updatedAt!: Date;
}
