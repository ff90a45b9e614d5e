export const ISSUE_STATUSES = ['pending', 'rejected', 'resolved'] as const;
export type IssueStatus = (typeof ISSUE_STATUSES)[number];

/** From the mildest to the worst. */
export const ISSUE_SEVERITIES = ['not_an_issue', 'low', 'medium', 'high'] as const;
export type IssueSeverity = (typeof ISSUE_SEVERITIES)[number];

export const ISSUE_LIMITS = { name: 250, text: 65_535, list: 1_000, createdBy: 255 } as const;

/** Something that goes wrong in traces of an experiment: their assessments of kind `issue` name it. */
export interface Issue {
  readonly id: string;
  readonly experimentNumber: number;
  readonly name: string;
  readonly description: string;
  readonly status: IssueStatus;
  readonly severity: IssueSeverity | null;
  readonly rootCauses: readonly string[];
  readonly categories: readonly string[];
  /** The run that found it. */
  readonly sourceRunId: string | null;
  readonly createdAt: Date;
  readonly createdBy: string | null;
  readonly updatedAt: Date;
  /** Traces of the experiment that name it; where they were asked for. */
  readonly traceCount?: number;
}

export interface NewIssue {
  readonly experimentNumber: number;
  readonly name: string;
  readonly description: string;
  readonly status?: IssueStatus | undefined;
  readonly severity?: IssueSeverity | null | undefined;
  readonly rootCauses?: readonly string[] | undefined;
  readonly categories?: readonly string[] | undefined;
  readonly sourceRunId?: string | null | undefined;
  readonly createdBy: string | null;
}

export interface IssuePatch {
  readonly name?: string | undefined;
  readonly description?: string | undefined;
  readonly status?: IssueStatus | undefined;
  /** Null takes it away. */
  readonly severity?: IssueSeverity | null | undefined;
}
