import { Check, Column, Entity as Table, ForeignKey, Index, PrimaryColumn, Unique } from 'typeorm';
import type { Kind } from '#libs/core/content/schemas.js';
import { Workspace } from '../workspaces/workspace.entity.js';

/** A named prompt, model or chain. Its content is in its versions. */
@Table('entry')
@Unique('entry_name_key', ['workspaceId', 'kind', 'name'])
@Check('entry_kind_check', `kind IN ('prompt', 'model', 'chain')`)
@Check('entry_latest_version_check', 'latest_version >= 0')
export class Entry {
  @PrimaryColumn('uuid', { primaryKeyConstraintName: 'entry_pk' })
  id!: string;

  @ForeignKey(() => Workspace, { name: 'entry_workspace_fk' })
  @Column('uuid', { name: 'workspace_id' })
  workspaceId!: string;

  @Column('text')
  kind!: Kind;

  @Column({ type: 'text', collation: 'C' })
  name!: string;

  @Column('text', { nullable: true })
  description!: string | null;

  // Made with jsonb_path_ops, which TypeORM cannot say.
  @Index('entry_tags_idx', { synchronize: false })
  @Column('jsonb')
  tags!: Record<string, string>;

  /** The highest version number ever issued, 0 before the first. Only grows, so no number is issued twice. */
  @Column('integer', { name: 'latest_version' })
  latestVersion!: number;

  @Column('timestamptz', { name: 'created_at' })
  createdAt!: Date;

  @Column('text', { name: 'created_by' })
  createdBy!: string;

  @Column('timestamptz', { name: 'updated_at' })
  updatedAt!: Date;

  @Column('timestamptz', { name: 'archived_at', nullable: true })
  archivedAt!: Date | null;
}
