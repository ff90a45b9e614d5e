export const TRACE_STATES = ['STATE_UNSPECIFIED', 'OK', 'ERROR', 'IN_PROGRESS'] as const;
export type TraceState = (typeof TRACE_STATES)[number];

/** Keys of metadata and tags that mean something to MLflow's clients, and here. */
export const TOKEN_USAGE = 'mlflow.trace.tokenUsage';
export const COST = 'mlflow.trace.cost';
export const SESSION = 'mlflow.trace.session';
export const USER = 'mlflow.trace.user';
export const SOURCE_RUN = 'mlflow.sourceRun';
export const TRACE_NAME = 'mlflow.traceName';
/** TRACKING_STORE where spans are in this database; absent where a client keeps them in an artifact. */
export const SPANS_LOCATION = 'mlflow.trace.spansLocation';
/** Told to clients by the translation, which computes it; never stored. */
export const ARTIFACT_LOCATION = 'mlflow.artifactLocation';
/** Attributes of a root span that set a tag of the trace. */
export const TAG_ATTRIBUTE_PREFIX = 'mlflow.traceTag.';

export const MAX_KEY = 250;
/** Tags of one trace, and entries of its metadata. */
export const MAX_PAIRS = 1_000;
export const MAX_TAG_VALUE = 8_000;
export const MAX_NAME = 250;

/** What a client says of a trace as a whole. */
export interface NewTrace {
  readonly traceId: string;
  readonly timeMs: number;
  readonly durationMs: number | null;
  readonly state: TraceState;
  readonly requestPreview: string | null;
  readonly responsePreview: string | null;
  readonly clientRequestId: string | null;
  readonly metadata: Readonly<Record<string, string>>;
  readonly tags: Readonly<Record<string, string>>;
}

/** A trace without its spans, as it is stored. */
export interface TraceInfo extends NewTrace {
  readonly serial: number;
  readonly experimentNumber: number;
  /** NULL: the artifact store of this registry. */
  readonly artifactLocation: string | null;
}

/** Reads a JSON object of numbers, as metadata and attributes hold them; other members are left out. */
export function readFigures(value: unknown): Record<string, number> | undefined {
  let object = value;
  if (typeof value === 'string')
    try {
      object = JSON.parse(value);
    } catch {
      return undefined;
    }
  if (typeof object !== 'object' || object === null || Array.isArray(object)) return undefined;
  const figures = Object.entries(object).filter((entry) => typeof entry[1] === 'number');
  return figures.length === 0 ? undefined : Object.fromEntries(figures);
}

/** A token count as a column can hold it. */
export function countOrNull(value: number | undefined): number | null {
  return value !== undefined && Number.isSafeInteger(value) && value >= 0 ? value : null;
}
