/** What kinds of judgement there are. A correction is the output that should have been: a demonstration. */
export const FEEDBACK_KINDS = ['boolean', 'number', 'category', 'text', 'correction'] as const;
export type FeedbackKind = (typeof FEEDBACK_KINDS)[number];

/** Who judged; as MLflow's assessments tell it, so that evaluations arrive like this. */
export const FEEDBACK_SOURCES = ['human', 'code', 'llm_judge'] as const;
export type FeedbackSource = (typeof FEEDBACK_SOURCES)[number];

/** What a judgement is about: exactly one of the three is not null. */
export interface FeedbackTarget {
  /** Of one inference: a UUIDv7, as in header `x-catena-inference-id`. */
  readonly inferenceId: string | null;
  /** The caller's own name for the request. */
  readonly clientRequestId: string | null;
  /** A conversation, user or tenant: what sticks to an arm. */
  readonly unit: string | null;
}

/** A judgement, checked. */
export interface FeedbackEvent extends FeedbackTarget {
  /** Names the event in its workspace: the same one again is not stored again. */
  readonly eventId: string;
  /** Only inferences of this serving endpoint are meant; null: of any. */
  readonly endpoint: string | null;
  readonly name: string;
  readonly kind: FeedbackKind;
  /** Of booleans (0 or 1) and numbers. */
  readonly numberValue: number | null;
  /** Of the other kinds. A correction that is not text is kept as JSON. */
  readonly textValue: string | null;
  readonly source: FeedbackSource;
  readonly sourceId: string | null;
  readonly comment: string | null;
  /** JSON text of a flat object. */
  readonly metadata: string | null;
  /** RFC 3339, UTC, milliseconds. Of one name about one thing, the one given last counts. */
  readonly givenAt: string;
}

/** A judgement on its way to the table. */
export interface ReceivedFeedback extends FeedbackEvent {
  /** UUIDv7, made when it was received. */
  readonly id: string;
  readonly workspaceId: string;
  readonly receivedAt: string;
}
