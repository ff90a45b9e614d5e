import { Column, Entity as Table, ForeignKey, Index, PrimaryColumn } from 'typeorm';
import { Workspace } from '../../workspaces/workspace.entity.js';
import { Version } from '../versions/version.entity.js';

/** A movable name for one version of an entry. */
@Table('alias')
@ForeignKey(() => Version, ['entryId', 'versionId'], ['entryId', 'id'], { name: 'alias_version_fk' })
@Index('alias_name_idx', ['workspaceId', 'name'])
export class Alias {
  @ForeignKey(() => Workspace, { name: 'alias_workspace_fk' })
  @Column('uuid', { name: 'workspace_id' })
  workspaceId!: string;

  @PrimaryColumn('uuid', { name: 'entry_id', primaryKeyConstraintName: 'alias_pk' })
  entryId!: string;

  @PrimaryColumn('text', { collation: 'C', primaryKeyConstraintName: 'alias_pk' })
  name!: string;

  @Index('alias_version_idx')
  @Column('uuid', {
    name: 'version_id',
    nullable: true,
    comment: 'NULL after the alias was removed: the row stays, so revisions only grow',
  })
  versionId!: string | null;

  @Column('integer')
  revision!: number;

  @Column('timestamptz', { name: 'updated_at' })
  updatedAt!: Date;

  @Column('text', { name: 'updated_by' })
  updatedBy!: string;
}
