import { Check, Column, Entity, ForeignKey, Index, PrimaryColumn } from 'typeorm';
import type { AdaptiveSettings } from '#libs/core/ab-test/adaptive.js';
import type { RampSettings } from '#libs/core/ab-test/ramp.js';
import { AbTest } from '../ab-test.entity.js';

export const STEERING_STATES = ['going', 'paused', 'ended'] as const;
export type SteeringStateName = (typeof STEERING_STATES)[number];

export const STEERING_MODES = ['ramp', 'adaptive'] as const;
export type SteeringMode = (typeof STEERING_MODES)[number];

/** What moves an A/B test's split by itself, and how far it is. All that a controller needs to go on after it was killed. */
@Entity('ab_test_steering')
@Check('ab_test_steering_mode_check', `mode IN ('ramp', 'adaptive')`)
@Check('ab_test_steering_state_check', `state IN ('going', 'paused', 'ended')`)
@Check('ab_test_steering_step_check', 'step >= -1')
// Partial, which TypeORM cannot say.
@Index('ab_test_steering_look_idx', { synchronize: false })
export class Steering {
  @PrimaryColumn({ name: 'ab_test_id', type: 'uuid', primaryKeyConstraintName: 'ab_test_steering_pk' })
  @ForeignKey(() => AbTest, { name: 'ab_test_steering_test_fk' })
  abTestId!: string;

  @Column({ name: 'workspace_id', type: 'uuid' })
  workspaceId!: string;

  @Column({ type: 'text' })
  mode!: SteeringMode;

  @Column({ type: 'jsonb' })
  settings!: RampSettings | AdaptiveSettings;

  @Column({ type: 'text' })
  state!: SteeringStateName;

  @Column({
    type: 'integer',
    comment: 'of a ramp, index of the step in force, else how often the weights changed; -1 before the first',
  })
  step!: number;

  @Column({ type: 'timestamptz', comment: 'when the step began' })
  since!: Date;

  @Column({
    type: 'integer',
    nullable: true,
    comment: 'the split it set or took over; when another one is in force, somebody else moved',
  })
  revision!: number | null;

  @Column({ type: 'text', array: true, comment: 'treatments that did harm and get no units any more' })
  dropped!: string[];

  @Column({ type: 'text', array: true, comment: 'what it paused for, until it is resumed' })
  alarms!: string[];

  @Column({
    type: 'text',
    array: true,
    comment: 'alarms it was resumed in spite of; they do not pause it again',
  })
  acknowledged!: string[];

  @Column({ type: 'text', comment: 'what it waits for, or why it paused or ended' })
  note!: string;

  @Column({ type: 'integer', comment: 'grows with every change but looked_at and note' })
  version!: number;

  @Column({ name: 'looked_at', type: 'timestamptz', nullable: true })
  lookedAt!: Date | null;

  @Column({ name: 'updated_at', type: 'timestamptz' })
  updatedAt!: Date;

  @Column({ name: 'updated_by', type: 'text' })
  updatedBy!: string;
}
