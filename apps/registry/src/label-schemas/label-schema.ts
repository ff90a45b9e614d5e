export const LABEL_SCHEMA_TYPES = ['feedback', 'expectation'] as const;
export type LabelSchemaType = (typeof LABEL_SCHEMA_TYPES)[number];

/** How a reviewer answers. */
export type LabelInput =
  | { readonly kind: 'passFail'; readonly positiveLabel: string; readonly negativeLabel: string }
  | { readonly kind: 'categorical'; readonly options: readonly string[]; readonly multiSelect: boolean }
  | { readonly kind: 'numeric'; readonly minValue: number | null; readonly maxValue: number | null }
  | { readonly kind: 'text'; readonly maxLength: number | null };

/** A question that reviewers of traces answer: the name of the assessment they leave, and how they say it. */
export interface LabelSchema {
  readonly id: string;
  readonly experimentNumber: number;
  /** Unique in the experiment. */
  readonly name: string;
  readonly type: LabelSchemaType;
  readonly instruction: string | null;
  readonly enableComment: boolean;
  readonly input: LabelInput;
  /** The question that every experiment has; it never changes. */
  readonly isDefault: boolean;
  readonly createdAt: Date;
  readonly createdBy: string;
  readonly updatedAt: Date;
}

export interface NewLabelSchema {
  readonly experimentNumber: number;
  readonly name: string;
  readonly type: LabelSchemaType;
  readonly instruction?: string | null | undefined;
  readonly enableComment?: boolean | undefined;
  readonly input: LabelInput;
}

export interface LabelSchemaPatch {
  readonly name?: string | undefined;
  readonly instruction?: string | null | undefined;
  readonly enableComment?: boolean | undefined;
  /** Of the same kind as before. */
  readonly input?: LabelInput | undefined;
}

export const LABEL_LIMITS = { name: 250, instruction: 1_000, label: 64, options: 10 } as const;

/** Reserved for the question that every experiment has, however it is written. */
export const DEFAULT_QUESTION = {
  name: 'Feedback',
  instruction: 'Share any feedback on this trace.',
} as const;
