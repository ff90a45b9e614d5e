import type { Readable } from 'node:stream';

export type Pairs = Readonly<Record<string, string>>;

export interface SourceExperiment {
  readonly id: string;
  readonly name: string;
  readonly deleted: boolean;
  /** Milliseconds since 1970; older servers did not keep them. */
  readonly createdMs: number | null;
  readonly updatedMs: number | null;
  readonly tags: Pairs;
}

export interface SourceDataset {
  readonly name: string;
  readonly digest: string;
  readonly sourceType: string;
  readonly source: string;
  readonly schema: string | null;
  readonly profile: string | null;
  /** Of its use in the run. */
  readonly tags: Pairs;
}

/** A logged model that went into a run, or came out of it. */
export interface SourceModelUse {
  readonly modelId: string;
  readonly direction: 'input' | 'output';
  readonly step: number;
}

export interface SourceRun {
  readonly id: string;
  readonly name: string;
  readonly user: string;
  readonly status: string;
  readonly startMs: number | null;
  readonly endMs: number | null;
  readonly deleted: boolean;
  readonly artifactUri: string;
  readonly params: Pairs;
  readonly tags: Pairs;
  readonly metricKeys: readonly string[];
  readonly datasets: readonly SourceDataset[];
  readonly models: readonly SourceModelUse[];
}

export interface SourcePoint {
  readonly key: string;
  readonly step: number;
  readonly timeMs: number;
  readonly value: number;
}

export interface SourceLoggedModel {
  readonly id: string;
  readonly experimentId: string;
  readonly name: string;
  readonly status: 'PENDING' | 'READY' | 'FAILED';
  readonly statusMessage: string | null;
  readonly modelType: string | null;
  readonly runId: string | null;
  readonly createdMs: number;
  readonly updatedMs: number;
  readonly artifactUri: string;
  readonly params: Pairs;
  readonly tags: Pairs;
  readonly metrics: readonly (SourcePoint & {
    readonly runId: string;
    readonly datasetName: string | null;
    readonly datasetDigest: string | null;
  })[];
}

export interface SourceModel {
  readonly name: string;
  readonly description: string | null;
  readonly createdMs: number;
  readonly updatedMs: number;
  readonly tags: Pairs;
  /** Number of the version by alias. */
  readonly aliases: Readonly<Record<string, number>>;
}

export interface SourceVersion {
  readonly number: number;
  readonly createdMs: number;
  readonly updatedMs: number;
  readonly user: string | null;
  readonly description: string | null;
  readonly stage: string;
  readonly source: string;
  readonly runId: string | null;
  readonly runLink: string | null;
  readonly tags: Pairs;
}

export interface SourceFile {
  /** Below the directory that was asked for. */
  readonly path: string;
  readonly sizeBytes: number;
}

/** What an MLflow server, or its database, holds. Lists come in a stable order, and include what is deleted. */
export interface MlflowSource {
  /** Names the source in records; without credentials. */
  readonly name: string;
  experiments(): AsyncIterable<SourceExperiment>;
  runs(experimentId: string): AsyncIterable<SourceRun>;
  /** All points of a run, some at a time. */
  points(run: SourceRun): AsyncIterable<readonly SourcePoint[]>;
  loggedModels(experimentId: string): AsyncIterable<SourceLoggedModel>;
  /** Prompts too. */
  models(): AsyncIterable<SourceModel>;
  versions(model: SourceModel): AsyncIterable<SourceVersion>;
  close(): Promise<void>;
}

/** Where artifacts lie, by the URI that the source gives. */
export interface SourceArtifacts {
  /** Every file below a directory. @throws Error that says why it cannot be read. */
  list(uri: string): AsyncIterable<SourceFile>;
  open(uri: string, path: string): Promise<Readable>;
}

export function pairsOf(
  list: readonly { key: string; value?: string }[] | undefined,
): Record<string, string> {
  return Object.fromEntries((list ?? []).map(({ key, value }) => [key, value ?? '']));
}
