import { Check, Column, Entity, ForeignKey, Index, PrimaryColumn } from 'typeorm';
import { Experiment } from '../experiments/experiment.entity.js';
import { Run } from '../runs/run.entity.js';
import { Workspace } from '../workspaces/workspace.entity.js';

export const LOGGED_MODEL_STATUSES = ['PENDING', 'READY', 'FAILED'] as const;
export type LoggedModelStatus = (typeof LOGGED_MODEL_STATUSES)[number];

/** A model as a run made it, before (and whether or not) it is registered. */
@Entity('logged_model')
@Check('logged_model_status_check', `status IN ('PENDING', 'READY', 'FAILED')`)
@Index('logged_model_run_idx', ['sourceRunId'])
// Descending, which TypeORM cannot say.
@Index('logged_model_created_idx', { synchronize: false })
export class LoggedModel {
  @PrimaryColumn('uuid', { primaryKeyConstraintName: 'logged_model_pk' })
  id!: string;

  @ForeignKey(() => Workspace, { name: 'logged_model_workspace_fk' })
  @Column('uuid', { name: 'workspace_id' })
  workspaceId!: string;

  /** Serial of the experiment. */
  @ForeignKey(() => Experiment, 'serial', { name: 'logged_model_experiment_fk' })
  @Column('integer')
  experiment!: number;

  @Column({ type: 'text', collation: 'C' })
  name!: string;

  @Column('text')
  status!: LoggedModelStatus;

  @Column('text', { name: 'status_message', nullable: true })
  statusMessage!: string | null;

  @Column('text', { name: 'model_type', nullable: true })
  modelType!: string | null;

  @ForeignKey(() => Run, { name: 'logged_model_run_fk' })
  @Column('uuid', { name: 'source_run_id', nullable: true })
  sourceRunId!: string | null;

  @Index('logged_model_foreign_run_idx', { synchronize: false })
  @Column({
    type: 'text',
    name: 'foreign_run',
    collation: 'C',
    nullable: true,
    comment: 'source run as a client named it, where there is none here',
  })
  foreignRun!: string | null;

  @Column('jsonb')
  params!: Record<string, string>;

  @Column('jsonb')
  tags!: Record<string, string>;

  @Column('timestamptz', { name: 'created_at' })
  createdAt!: Date;

  @Column('text', { name: 'created_by' })
  createdBy!: string;

  @Column('timestamptz', { name: 'updated_at' })
  updatedAt!: Date;

  @Column('timestamptz', { name: 'deleted_at', nullable: true })
  deletedAt!: Date | null;
}
