import { Check, Column, Entity, ForeignKey, Index, PrimaryColumn, Unique } from 'typeorm';
import type { AbTestRules } from '#libs/core/ab-test/ab-test.js';
import { Endpoint } from '../endpoints/endpoint.entity.js';

export const AB_TEST_STATUSES = ['draft', 'running', 'stopped'] as const;
export type AbTestStatus = (typeof AB_TEST_STATUSES)[number];

export const DECISIONS = ['ship', 'roll_back'] as const;
export type Decision = (typeof DECISIONS)[number];

/** The two factors of a factorial test, and the level of each that every arm has. */
export interface Factors {
  readonly names: readonly [string, string];
  readonly arms: readonly { readonly arm: string; readonly levels: readonly [string, string] }[];
}

/**
 * A question to an endpoint's traffic. Its phases are the splits of the endpoint from `firstRevision` to `lastRevision`:
 * whoever changes the split begins the next. What its units did is in tables of volume, by `serial`.
 */
@Entity('ab_test')
@Unique('ab_test_serial_key', ['serial'])
@Check('ab_test_status_check', `status IN ('draft', 'running', 'stopped')`)
@Check(
  'ab_test_started_check',
  `status = 'draft' OR (started_at IS NOT NULL AND started_by IS NOT NULL AND started_arrival IS NOT NULL AND first_revision IS NOT NULL)`,
)
@Check(
  'ab_test_stopped_check',
  `(status = 'stopped') = (stopped_at IS NOT NULL AND stopped_by IS NOT NULL AND stopped_arrival IS NOT NULL AND last_revision IS NOT NULL)`,
)
@Check('ab_test_decision_check', `decision IN ('ship', 'roll_back')`)
@Check(
  'ab_test_decided_check',
  `decision IS NULL OR (status = 'stopped' AND decided_arm IS NOT NULL AND decided_at IS NOT NULL AND decided_by IS NOT NULL)`,
)
// Ordered or partial, which TypeORM cannot say.
@Index('ab_test_endpoint_idx', { synchronize: false })
@Index('ab_test_running_key', { synchronize: false })
export class AbTest {
  @PrimaryColumn({ type: 'uuid', primaryKeyConstraintName: 'ab_test_pk' })
  id!: string;

  @Column({
    type: 'integer',
    generated: 'identity',
    generatedIdentity: 'ALWAYS',
    insert: false,
    comment: 'what the tables of its units and sums know it by',
  })
  serial!: number;

  @Column({ name: 'workspace_id', type: 'uuid' })
  workspaceId!: string;

  @Column({ name: 'endpoint_id', type: 'uuid' })
  @ForeignKey(() => Endpoint, { name: 'ab_test_endpoint_fk' })
  endpointId!: string;

  @Column({ type: 'text' })
  hypothesis!: string;

  @Column({ type: 'jsonb', comment: 'what it is judged by; fixed when it starts' })
  rules!: AbTestRules;

  @Column({
    type: 'jsonb',
    nullable: true,
    comment: 'object: factors and their levels per arm, of a factorial test',
  })
  factors!: Factors | null;

  @Column({ type: 'text', array: true, comment: 'names of all metrics of the rules' })
  metrics!: string[];

  @Column({ type: 'text' })
  status!: AbTestStatus;

  @Column({ name: 'created_at', type: 'timestamptz' })
  createdAt!: Date;

  @Column({ name: 'created_by', type: 'text' })
  createdBy!: string;

  @Column({ name: 'updated_at', type: 'timestamptz' })
  updatedAt!: Date;

  @Column({ name: 'started_at', type: 'timestamptz', nullable: true })
  startedAt!: Date | null;

  @Column({ name: 'started_by', type: 'text', nullable: true })
  startedBy!: string | null;

  @Column({
    name: 'started_arrival',
    type: 'bigint',
    nullable: true,
    comment: 'rows that arrived before do not count',
  })
  startedArrival!: number | null;

  @Column({
    name: 'first_revision',
    type: 'integer',
    nullable: true,
    comment: 'its phases are the splits from this revision to last_revision',
  })
  firstRevision!: number | null;

  @Column({
    name: 'covariate_units',
    type: 'integer',
    nullable: true,
    comment: 'units that came before the start, too; null until these were added up',
  })
  covariateUnits!: number | null;

  @Column({ name: 'stopped_at', type: 'timestamptz', nullable: true })
  stoppedAt!: Date | null;

  @Column({ name: 'stopped_by', type: 'text', nullable: true })
  stoppedBy!: string | null;

  @Column({ name: 'stop_reason', type: 'text', nullable: true })
  stopReason!: string | null;

  @Column({
    name: 'stopped_arrival',
    type: 'bigint',
    nullable: true,
    comment: 'rows that arrived later count only if they started before the stop',
  })
  stoppedArrival!: number | null;

  @Column({ name: 'last_revision', type: 'integer', nullable: true })
  lastRevision!: number | null;

  @Column({ type: 'text', nullable: true })
  decision!: Decision | null;

  @Column({ name: 'decided_arm', type: 'text', nullable: true })
  decidedArm!: string | null;

  @Column({ name: 'decided_at', type: 'timestamptz', nullable: true })
  decidedAt!: Date | null;

  @Column({ name: 'decided_by', type: 'text', nullable: true })
  decidedBy!: string | null;

  @Column({ name: 'decision_reason', type: 'text', nullable: true })
  decisionReason!: string | null;
}
