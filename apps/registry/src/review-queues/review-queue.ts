export const QUEUE_KINDS = ['user', 'custom'] as const;
/** `user`: the worklist of one person, who answers all questions of the experiment. */
export type QueueKind = (typeof QUEUE_KINDS)[number];

export const ITEM_STATUSES = ['pending', 'complete', 'declined'] as const;
export type ItemStatus = (typeof ITEM_STATUSES)[number];

export const QUEUE_LIMITS = { name: 250, user: 250, users: 10, labelSchemas: 1_000, items: 10_000 } as const;

/** Traces that people are to review, and the questions they are asked. */
export interface ReviewQueue {
  readonly id: string;
  readonly experimentNumber: number;
  /** Unique in the experiment, whatever its case. */
  readonly name: string;
  readonly kind: QueueKind;
  /** In lower case, ascending: any of them may complete an item. */
  readonly users: readonly string[];
  /** Its questions, ascending; empty for a user queue, which asks all of the experiment. */
  readonly labelSchemaIds: readonly string[];
  readonly createdAt: Date;
  readonly createdBy: string;
  readonly updatedAt: Date;
}

/** A trace in a queue. */
export interface ReviewItem {
  readonly queueId: string;
  readonly traceId: string;
  readonly status: ItemStatus;
  /** Who completed or declined it, and when; null while it is pending. */
  readonly completedBy: string | null;
  readonly completedAt: Date | null;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

export interface NewQueue {
  readonly experimentNumber: number;
  readonly name: string;
  readonly kind: QueueKind;
  readonly users?: readonly string[] | undefined;
  readonly labelSchemaIds?: readonly string[] | undefined;
}

export interface QueuePatch {
  readonly name?: string | undefined;
  /** Who owns it from now on. */
  readonly owner?: string | undefined;
  readonly users?: readonly string[] | undefined;
  /** Only while the queue is empty. */
  readonly labelSchemaIds?: readonly string[] | undefined;
}
