import { DomainError } from '#libs/core/errors/catalogue.js';
import type { Problem } from '#libs/core/content/problems.js';
import { parseInt64, type Int64 } from '../../metrics/int64.js';
import { parseMetricValue } from '../../metrics/metric-value.js';

/** Limits of one call, shared by both protocols; lengths are in UTF-16 code units. */
export const LOG_LIMITS = {
  metrics: 1_000,
  params: 100,
  tags: 100,
  total: 1_000,
  key: 250,
  paramValue: 6_000,
  tagValue: 8_000,
} as const;

/** One point of a metric, as callers give it; `RunLog` checks it. */
export interface MetricInput {
  readonly key: string;
  /** A double; or "NaN", "Infinity", "-Infinity". */
  readonly value: number | string;
  /** An integer, or its digits; 0 when absent. */
  readonly step?: Int64;
  /** Milliseconds since 1970, or their digits; now when absent. */
  readonly timeMs?: Int64;
  /** UUID of the logged model that the value is about. */
  readonly loggedModelId?: string;
  /** The dataset it was computed on; only with `loggedModelId`. */
  readonly datasetName?: string;
  readonly datasetDigest?: string;
}

export interface KeyValue {
  readonly key: string;
  readonly value: string;
}

export interface LogInput {
  readonly metrics?: readonly MetricInput[];
  readonly params?: readonly KeyValue[];
  readonly tags?: readonly KeyValue[];
}

export interface MetricPoint {
  readonly key: string;
  readonly value: number;
  readonly step: Int64;
  readonly timeMs: Int64;
  readonly about?: {
    readonly loggedModelId: string;
    readonly datasetName: string | null;
    readonly datasetDigest: string | null;
  };
}

/** A batch that can be written as it stands: checked, without duplicates. */
export interface CheckedLog {
  readonly metrics: readonly MetricPoint[];
  readonly params: ReadonlyMap<string, string>;
  readonly tags: ReadonlyMap<string, string>;
}

/**
 * Checks a whole batch before anything of it is written.
 * @throws DomainError VALIDATION_FAILED, with one entry per bad element (20 at most) and its JSON Pointer.
 */
export function checkLog(input: LogInput, nowMs: number): CheckedLog {
  const problems = new Problems();
  const metrics = elements(input.metrics, '/metrics', LOG_LIMITS.metrics, problems);
  const params = elements(input.params, '/params', LOG_LIMITS.params, problems);
  const tags = elements(input.tags, '/tags', LOG_LIMITS.tags, problems);
  const total = metrics.length + params.length + tags.length;
  if (total > LOG_LIMITS.total)
    problems.add('', `has ${total} metrics, params and tags; at most ${LOG_LIMITS.total} go into one call`);
  problems.throwIfAny();
  const checked: CheckedLog = {
    metrics: metrics.flatMap((given, index) => checkMetric(given, `/metrics/${index}`, nowMs, problems)),
    params: checkPairs(params, '/params', LOG_LIMITS.paramValue, problems),
    tags: checkPairs(tags, '/tags', LOG_LIMITS.tagValue, problems),
  };
  problems.throwIfAny();
  return checked;
}

const METRIC_FIELDS = new Set([
  'key',
  'value',
  'step',
  'timeMs',
  'loggedModelId',
  'datasetName',
  'datasetDigest',
]);
const PAIR_FIELDS = new Set(['key', 'value']);
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
const MAX_DATASET_TEXT = 500;

function checkMetric(given: Fields, path: string, nowMs: number, problems: Problems): MetricPoint[] {
  const { key, loggedModelId, datasetName, datasetDigest } = given;
  const value = parseMetricValue(given['value']);
  const step = given['step'] === undefined ? 0 : parseInt64(given['step']);
  const timeMs = given['timeMs'] === undefined ? nowMs : parseInt64(given['timeMs']);
  checkFields(given, METRIC_FIELDS, path, problems);
  checkKey(key, path, problems);
  if (value === undefined)
    problems.add(`${path}/value`, 'must be a number, or one of "NaN", "Infinity" and "-Infinity"');
  if (step === undefined)
    problems.add(`${path}/step`, 'must be an integer of 64 bits; beyond 2^53 send its digits as a string');
  if (timeMs === undefined || isNegative(timeMs))
    problems.add(
      `${path}/timeMs`,
      'must be milliseconds since 1970: an integer of 64 bits, at least 0; beyond 2^53 send its digits as a string',
    );
  const isAbout = loggedModelId !== undefined;
  if (isAbout && (typeof loggedModelId !== 'string' || !UUID.test(loggedModelId)))
    problems.add(`${path}/loggedModelId`, 'must be the UUID of a logged model');
  for (const [name, text] of Object.entries({ datasetName, datasetDigest }))
    if (text !== undefined && !isText(text, MAX_DATASET_TEXT))
      problems.add(`${path}/${name}`, `must be a string of at most ${MAX_DATASET_TEXT} characters`);
  if (problems.any || value === undefined || step === undefined || timeMs === undefined) return [];
  const point: MetricPoint = { key: key as string, value, step, timeMs };
  if (!isAbout) return [point];
  return [
    {
      ...point,
      about: {
        loggedModelId: loggedModelId as string,
        datasetName: (datasetName as string | undefined) ?? null,
        datasetDigest: (datasetDigest as string | undefined) ?? null,
      },
    },
  ];
}

function checkPairs(
  given: readonly Fields[],
  path: string,
  maxValue: number,
  problems: Problems,
): Map<string, string> {
  const pairs = new Map<string, string>();
  for (const [index, pair] of given.entries()) {
    const at = `${path}/${index}`;
    checkFields(pair, PAIR_FIELDS, at, problems);
    checkKey(pair['key'], at, problems);
    const key = pair['key'] as string;
    const value = pair['value'];
    if (!isText(value, maxValue))
      problems.add(`${at}/value`, `must be a string of at most ${maxValue} characters without NUL`);
    else if (pairs.has(key) && pairs.get(key) !== value)
      problems.add(at, `sets "${key.slice(0, 60)}" a second time, to another value; send each key once`);
    else pairs.set(key, value);
  }
  return pairs;
}

function checkKey(key: unknown, path: string, problems: Problems): void {
  if (!isText(key, LOG_LIMITS.key) || key === '')
    problems.add(`${path}/key`, `must be a string of 1 to ${LOG_LIMITS.key} characters without NUL`);
}

function checkFields(given: Fields, known: ReadonlySet<string>, path: string, problems: Problems): void {
  for (const name in given)
    if (!known.has(name)) problems.add(`${path}/${name}`, 'is an unknown field; remove it');
}

function isText(value: unknown, maxLength: number): value is string {
  return (
    typeof value === 'string' && value.length <= maxLength && !value.includes('\0') && value.isWellFormed()
  );
}

function isNegative(value: Int64): boolean {
  return typeof value === 'number' ? value < 0 : value.startsWith('-');
}

type Fields = Readonly<Record<string, unknown>>;

function elements(given: unknown, path: string, max: number, problems: Problems): readonly Fields[] {
  if (given === undefined) return [];
  if (!Array.isArray(given)) {
    problems.add(path, 'must be a list');
    return [];
  }
  if (given.length > max) {
    problems.add(
      path,
      `has ${given.length} elements; at most ${max} go into one call, send the rest in another`,
    );
    return [];
  }
  const bad = given.findIndex((value) => typeof value !== 'object' || value === null || Array.isArray(value));
  if (bad !== -1) problems.add(`${path}/${bad}`, 'must be an object');
  return given as Fields[];
}

/** As many as help. */
const MAX_PROBLEMS = 20;

class Problems {
  private readonly found: Problem[] = [];

  get any(): boolean {
    return this.found.length > 0;
  }

  add(path: string, message: string): void {
    if (this.found.length < MAX_PROBLEMS) this.found.push({ path, message });
  }

  /** @throws DomainError VALIDATION_FAILED. */
  throwIfAny(): void {
    if (!this.any) return;
    const said = this.found.map(({ path, message }) => `${path || '/'} ${message}`).join('; ');
    throw new DomainError('VALIDATION_FAILED', `Nothing was written: ${said}.`, this.found);
  }
}
