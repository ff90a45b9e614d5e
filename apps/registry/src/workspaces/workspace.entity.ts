import { Column, Entity, PrimaryColumn, Unique } from 'typeorm';

/** A tenant. Other entities name it in their foreign keys; nothing manages workspaces yet. */
@Entity('workspace')
@Unique('workspace_name_key', ['name'])
export class Workspace {
  @PrimaryColumn('uuid', { primaryKeyConstraintName: 'workspace_pk' })
  id!: string;

  @Column({ type: 'text', collation: 'C' })
  name!: string;

  @Column('timestamptz', { name: 'created_at' })
  createdAt!: Date;

  /** The highest number of an experiment ever issued; "Default" is number 0. */
  @Column('integer', { name: 'last_experiment', default: 0 })
  lastExperiment!: number;
}
