export const ASSESSMENT_KINDS = ['feedback', 'expectation', 'issue'] as const;
/** Feedback judges what happened, an expectation says what should have; an issue names a known problem. */
export type AssessmentKind = (typeof ASSESSMENT_KINDS)[number];

export const SOURCE_TYPES: readonly string[] = ['SOURCE_TYPE_UNSPECIFIED', 'HUMAN', 'LLM_JUDGE', 'CODE'];

export const MAX_ASSESSMENT_NAME = 250;

/** Why there is no value. */
export interface AssessmentError {
  readonly code?: string;
  readonly message?: string;
  readonly stackTrace?: string;
}

export function isText(text: string): boolean {
  return !text.includes('\0') && text.isWellFormed();
}
