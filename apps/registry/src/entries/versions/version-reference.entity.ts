import { Column, Entity as Table, ForeignKey, Index, PrimaryColumn } from 'typeorm';
import { Version } from './version.entity.js';

/** Lineage: the version that names, where in its content it does so, and the version that is named. */
@Table('version_reference')
export class VersionReference {
  @Column('uuid', { name: 'workspace_id' })
  workspaceId!: string;

  @ForeignKey(() => Version, { name: 'version_reference_from_fk' })
  @PrimaryColumn('uuid', { name: 'version_id', primaryKeyConstraintName: 'version_reference_pk' })
  versionId!: string;

  @PrimaryColumn('text', {
    primaryKeyConstraintName: 'version_reference_pk',
    comment: 'JSON Pointer of the reference inside the content',
  })
  path!: string;

  @ForeignKey(() => Version, { name: 'version_reference_to_fk' })
  @Index('version_reference_to_idx')
  @Column('uuid', { name: 'to_version_id' })
  toVersionId!: string;
}
