import { Check, Column, Entity, ForeignKey, Index, PrimaryColumn, Unique } from 'typeorm';
import { Experiment } from '../experiments/experiment.entity.js';
import { Workspace } from '../workspaces/workspace.entity.js';

export const RUN_STATUSES = ['RUNNING', 'SCHEDULED', 'FINISHED', 'FAILED', 'KILLED'] as const;
export type RunStatus = (typeof RUN_STATUSES)[number];

/** One execution of something worth keeping. What it logs is in tables of volume, by `serial`. */
@Entity('run')
@Unique('run_serial_key', ['serial'])
@Check('run_status_check', `status IN ('RUNNING', 'SCHEDULED', 'FINISHED', 'FAILED', 'KILLED')`)
@Index('run_name_idx', ['experimentSerial', 'name'])
// Ordered or partial, which TypeORM cannot say.
@Index('run_list_idx', { synchronize: false })
@Index('run_started_idx', { synchronize: false })
@Index('run_deleted_idx', { synchronize: false })
@Index('run_unfinished_idx', { synchronize: false })
export class Run {
  @PrimaryColumn('uuid', { primaryKeyConstraintName: 'run_pk' })
  id!: string;

  /** How volume tables name it. */
  @Column({ type: 'integer', generated: 'identity', generatedIdentity: 'ALWAYS', insert: false })
  serial!: number;

  @ForeignKey(() => Workspace, { name: 'run_workspace_fk' })
  @Column('uuid', { name: 'workspace_id' })
  workspaceId!: string;

  @ForeignKey(() => Experiment, 'serial', { name: 'run_experiment_fk' })
  @Column('integer', { name: 'experiment_serial' })
  experimentSerial!: number;

  @Column('text')
  name!: string;

  @Column('text')
  status!: RunStatus;

  @Column('timestamptz', { name: 'started_at', nullable: true })
  startedAt!: Date | null;

  @Column('timestamptz', { name: 'ended_at', nullable: true })
  endedAt!: Date | null;

  @Column('timestamptz', { name: 'created_at' })
  createdAt!: Date;

  @Column('text', { name: 'created_by' })
  createdBy!: string;

  @Column('timestamptz', { name: 'updated_at' })
  updatedAt!: Date;

  @Column('timestamptz', { name: 'deleted_at', nullable: true })
  deletedAt!: Date | null;
}
