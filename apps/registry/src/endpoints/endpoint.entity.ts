import { Check, Column, Entity, ForeignKey, PrimaryColumn, Unique } from 'typeorm';
import type { DataClass } from '#libs/core/clearance/clearance.js';
import type { Payloads } from '#libs/core/clearance/payloads.js';
import { Workspace } from '../workspaces/workspace.entity.js';

/** A serving endpoint: the stable name that applications call. */
@Entity('endpoint')
@Unique('endpoint_name_key', ['workspaceId', 'name'])
@Check('endpoint_split_revision_check', 'split_revision >= 0')
@Check('endpoint_data_class_check', `data_class IN ('public', 'internal', 'restricted')`)
@Check('endpoint_cache_ttl_check', 'cache_ttl_seconds BETWEEN 1 AND 604800')
@Check('endpoint_payloads_check', `payloads IN ('full', 'hash', 'hash-restricted')`)
export class Endpoint {
  @PrimaryColumn({ type: 'uuid', primaryKeyConstraintName: 'endpoint_pk' })
  id!: string;

  @Column({ name: 'workspace_id', type: 'uuid' })
  @ForeignKey(() => Workspace, { name: 'endpoint_workspace_fk' })
  workspaceId!: string;

  @Column({ type: 'text', collation: 'C' })
  name!: string;

  @Column({ type: 'text', nullable: true })
  description!: string | null;

  @Column({
    name: 'split_revision',
    type: 'integer',
    comment: 'the split in force; 0 before the first',
  })
  splitRevision!: number;

  @Column({
    name: 'data_class',
    type: 'text',
    default: 'internal',
    comment: 'what its requests carry at least',
  })
  dataClass!: DataClass;

  @Column({ type: 'text', default: 'full', comment: 'what rows keep of bodies and metadata' })
  payloads!: Payloads;

  @Column({
    name: 'cache_ttl_seconds',
    type: 'integer',
    nullable: true,
    comment: 'how long gateways keep its answers; null: not at all',
  })
  cacheTtlSeconds!: number | null;

  @Column({ name: 'created_at', type: 'timestamptz' })
  createdAt!: Date;

  @Column({ name: 'created_by', type: 'text' })
  createdBy!: string;

  @Column({ name: 'updated_at', type: 'timestamptz' })
  updatedAt!: Date;

  @Column({ name: 'archived_at', type: 'timestamptz', nullable: true })
  archivedAt!: Date | null;
}
