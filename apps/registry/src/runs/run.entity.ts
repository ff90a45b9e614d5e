import { Column, Entity, ForeignKey, Index, PrimaryColumn } from 'typeorm';
import { Workspace } from '../workspaces/workspace.entity.js';

/** One execution of something worth keeping: it owns artifacts. Experiments, metrics and params join it later. */
@Entity('run')
// Ordered by id descending, which TypeORM cannot say.
@Index('run_list_idx', { synchronize: false })
export class Run {
  @PrimaryColumn('uuid', { primaryKeyConstraintName: 'run_pk' })
  id!: string;

  @ForeignKey(() => Workspace, { name: 'run_workspace_fk' })
  @Column('uuid', { name: 'workspace_id' })
  workspaceId!: string;

  @Column('text')
  name!: string;

  @Column('timestamptz', { name: 'created_at' })
  createdAt!: Date;

  @Column('text', { name: 'created_by' })
  createdBy!: string;
}
