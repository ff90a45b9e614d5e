import { Check, Column, Entity, ForeignKey, PrimaryColumn, Unique } from 'typeorm';
import { Endpoint } from './endpoint.entity.js';

/** An immutable revision of how an endpoint's traffic is divided. The database refuses UPDATE and DELETE. */
@Entity('split')
@Unique('split_revision_key', ['endpointId', 'revision'])
@Check('split_revision_check', 'revision > 0')
export class Split {
  @PrimaryColumn({ type: 'uuid', primaryKeyConstraintName: 'split_pk' })
  id!: string;

  @Column({ name: 'workspace_id', type: 'uuid' })
  workspaceId!: string;

  @Column({ name: 'endpoint_id', type: 'uuid' })
  @ForeignKey(() => Endpoint, { name: 'split_endpoint_fk' })
  endpointId!: string;

  @Column({ type: 'integer' })
  revision!: number;

  @Column({ type: 'text' })
  salt!: string;

  @Column({ type: 'jsonb', comment: 'object: unit -> arm name' })
  overrides!: Record<string, string>;

  @Column({
    name: 'rollback_of',
    type: 'integer',
    nullable: true,
    comment: 'the revision whose arms were restored, when this is a rollback',
  })
  rollbackOf!: number | null;

  @Column({ name: 'moved_buckets', type: 'integer' })
  movedBuckets!: number;

  @Column({ type: 'text', nullable: true })
  reason!: string | null;

  @Column({ name: 'created_at', type: 'timestamptz' })
  createdAt!: Date;

  @Column({ name: 'created_by', type: 'text' })
  createdBy!: string;
}
