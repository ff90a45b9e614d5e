import { Column, Entity as Table, ForeignKey, PrimaryColumn } from 'typeorm';
import { Entry } from '../entry.entity.js';
import { Version } from '../versions/version.entity.js';

/** One line of the append-only log of an alias: who moved it, from where to where, and why. */
@Table('alias_move')
export class AliasMove {
  @Column('uuid', { name: 'workspace_id' })
  workspaceId!: string;

  @ForeignKey(() => Entry, { name: 'alias_move_entry_fk' })
  @PrimaryColumn('uuid', { name: 'entry_id', primaryKeyConstraintName: 'alias_move_pk' })
  entryId!: string;

  @PrimaryColumn('text', { collation: 'C', primaryKeyConstraintName: 'alias_move_pk' })
  alias!: string;

  @PrimaryColumn('integer', { primaryKeyConstraintName: 'alias_move_pk' })
  revision!: number;

  @ForeignKey(() => Version, { name: 'alias_move_from_fk' })
  @Column('uuid', { name: 'from_version_id', nullable: true })
  fromVersionId!: string | null;

  @ForeignKey(() => Version, { name: 'alias_move_to_fk' })
  @Column('uuid', { name: 'to_version_id', nullable: true })
  toVersionId!: string | null;

  @Column('timestamptz', { name: 'moved_at' })
  movedAt!: Date;

  @Column('text', { name: 'moved_by' })
  movedBy!: string;

  @Column('text', { nullable: true })
  reason!: string | null;
}
