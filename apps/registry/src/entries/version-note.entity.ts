import { Check, Column, Entity as Table, ForeignKey, Index, PrimaryColumn } from 'typeorm';
import { Version } from './version.entity.js';

export const STAGES = ['None', 'Staging', 'Production', 'Archived'] as const;
export type Stage = (typeof STAGES)[number];

/** What people say about a version after it was registered. A version without one was never talked about. */
@Table('version_note')
@Check('version_note_stage_check', `stage IN ('None', 'Staging', 'Production', 'Archived')`)
export class VersionNote {
  @ForeignKey(() => Version, { name: 'version_note_version_fk' })
  @PrimaryColumn('uuid', { name: 'version_id', primaryKeyConstraintName: 'version_note_pk' })
  versionId!: string;

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
