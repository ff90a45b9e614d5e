import { Check, Column, Entity, ForeignKey, Index, PrimaryColumn, Unique } from 'typeorm';
import { Workspace } from '../workspaces/workspace.entity.js';

/** A named group of runs. */
@Entity('experiment')
@Unique('experiment_serial_key', ['serial'])
@Unique('experiment_number_key', ['workspaceId', 'number'])
@Unique('experiment_name_key', ['workspaceId', 'name'])
@Check('experiment_number_check', 'number >= 0')
// Ordered by time descending, which TypeORM cannot say.
@Index('experiment_created_idx', { synchronize: false })
export class Experiment {
  @PrimaryColumn('uuid', { primaryKeyConstraintName: 'experiment_pk' })
  id!: string;

  /** How volume tables name it. */
  @Column({ type: 'integer', generated: 'identity', generatedIdentity: 'ALWAYS', insert: false })
  serial!: number;

  @ForeignKey(() => Workspace, { name: 'experiment_workspace_fk' })
  @Column('uuid', { name: 'workspace_id' })
  workspaceId!: string;

  @Column('integer', { comment: 'experiment_id of the MLflow protocol' })
  number!: number;

  @Column({ type: 'text', collation: 'C' })
  name!: string;

  @Column('text', {
    name: 'artifact_location',
    nullable: true,
    comment: 'NULL: the artifact store of this registry',
  })
  artifactLocation!: string | null;

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
