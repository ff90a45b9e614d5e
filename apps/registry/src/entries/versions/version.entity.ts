import { Check, Column, Entity as Table, ForeignKey, Index, PrimaryColumn, Unique } from 'typeorm';
import { Workspace } from '../../workspaces/workspace.entity.js';
import { Entry } from '../entry.entity.js';

/** One immutable configuration of an entry. The database refuses every change but archiving. */
@Table('version')
@Unique('version_number_key', ['entryId', 'number'])
@Index('version_digest_idx', ['entryId', 'digest'])
@Unique('version_entry_id_key', ['entryId', 'id'])
@Check('version_number_check', 'number > 0')
@Check('version_digest_check', `digest = 'sha256:' || encode(sha256(convert_to(content, 'UTF8')), 'hex')`)
export class Version {
  @PrimaryColumn('uuid', { primaryKeyConstraintName: 'version_pk' })
  id!: string;

  @ForeignKey(() => Workspace, { name: 'version_workspace_fk' })
  @Column('uuid', { name: 'workspace_id' })
  workspaceId!: string;

  @ForeignKey(() => Entry, { name: 'version_entry_fk' })
  @Column('uuid', { name: 'entry_id' })
  entryId!: string;

  @Column('integer')
  number!: number;

  @Column({ type: 'text', collation: 'C' })
  digest!: string;

  @Column('text', { comment: 'RFC 8785 canonical JSON; the digest is over exactly these bytes' })
  content!: string;

  @Column('text', { nullable: true })
  message!: string | null;

  @Column('timestamptz', { name: 'created_at' })
  createdAt!: Date;

  @Column('text', { name: 'created_by' })
  createdBy!: string;

  @Column('timestamptz', { name: 'archived_at', nullable: true })
  archivedAt!: Date | null;
}
