import { Check, Column, Entity, ForeignKey, Index, PrimaryColumn, Unique } from 'typeorm';
import type { BucketRange } from '#libs/core/assignment/split.js';
import { Version } from '../entries/versions/version.entity.js';
import { Split } from './split.entity.js';

/** One arm of a split: a pinned chain version, its weight and the buckets it owns. Immutable like its split. */
@Entity('arm')
@Unique('arm_name_key', ['splitId', 'name'])
@Check('arm_weight_check', 'weight_bps BETWEEN 0 AND 10000')
export class Arm {
  @Column({ name: 'workspace_id', type: 'uuid' })
  workspaceId!: string;

  @PrimaryColumn({ name: 'split_id', type: 'uuid', primaryKeyConstraintName: 'arm_pk' })
  @ForeignKey(() => Split, { name: 'arm_split_fk' })
  splitId!: string;

  @PrimaryColumn({ type: 'smallint', primaryKeyConstraintName: 'arm_pk' })
  position!: number;

  @Column({ type: 'text' })
  name!: string;

  @Column({ name: 'chain_version_id', type: 'uuid' })
  @ForeignKey(() => Version, { name: 'arm_chain_version_fk' })
  @Index('arm_chain_version_idx')
  chainVersionId!: string;

  @Column({ name: 'weight_bps', type: 'integer' })
  weightBps!: number;

  @Column({ type: 'jsonb', comment: 'list of [start, end) bucket ranges' })
  ranges!: BucketRange[];
}
