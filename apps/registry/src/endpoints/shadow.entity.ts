import { Check, Column, Entity, ForeignKey, Index, PrimaryColumn, Unique } from 'typeorm';
import { Version } from '../entries/versions/version.entity.js';
import { Split } from './split.entity.js';

/** One shadow of a split: a pinned chain version that gets copies of requests. Immutable like its split. */
@Entity('shadow')
@Unique('shadow_name_key', ['splitId', 'name'])
@Check('shadow_sample_check', 'sample_bps BETWEEN 1 AND 10000')
export class Shadow {
  @Column({ name: 'workspace_id', type: 'uuid' })
  workspaceId!: string;

  @PrimaryColumn({ name: 'split_id', type: 'uuid', primaryKeyConstraintName: 'shadow_pk' })
  @ForeignKey(() => Split, { name: 'shadow_split_fk' })
  splitId!: string;

  @PrimaryColumn({ type: 'smallint', primaryKeyConstraintName: 'shadow_pk' })
  position!: number;

  @Column({ type: 'text' })
  name!: string;

  @Column({ name: 'chain_version_id', type: 'uuid' })
  @ForeignKey(() => Version, { name: 'shadow_chain_version_fk' })
  @Index('shadow_chain_version_idx')
  chainVersionId!: string;

  @Column({
    name: 'sample_bps',
    type: 'integer',
    comment: 'share of the units whose requests are copied, in basis points',
  })
  sampleBps!: number;
}
