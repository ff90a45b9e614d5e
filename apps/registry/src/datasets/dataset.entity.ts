import { Column, Entity, ForeignKey, PrimaryColumn, Unique } from 'typeorm';
import { Experiment } from '../experiments/experiment.entity.js';

/** Data that runs of an experiment used, known by name and digest. */
@Entity('dataset')
@Unique('dataset_name_key', ['experimentSerial', 'name', 'digest'])
export class Dataset {
  @PrimaryColumn('uuid', { primaryKeyConstraintName: 'dataset_pk' })
  id!: string;

  @ForeignKey(() => Experiment, 'serial', { name: 'dataset_experiment_fk' })
  @Column('integer', { name: 'experiment' })
  experimentSerial!: number;

  @Column({ type: 'text', collation: 'C' })
  name!: string;

  @Column({ type: 'text', collation: 'C' })
  digest!: string;

  @Column('text', { name: 'source_type' })
  sourceType!: string;

  @Column('text')
  source!: string;

  @Column('text', { nullable: true })
  schema!: string | null;

  @Column('text', { nullable: true })
  profile!: string | null;

  @Column('timestamptz', { name: 'created_at' })
  createdAt!: Date;
}
