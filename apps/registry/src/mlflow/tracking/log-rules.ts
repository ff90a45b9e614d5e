import { LOG_LIMITS } from '../../runs/log/run-log.rules.js';
import { invalidValue, MlflowError } from '../protocol/mlflow-error.js';

// The native services are laxer about names and stricter about lengths; clients of MLflow expect its own rules and
// its own words. Rules of MLflow 3.17, mlflow/utils/validation.py.

/** Letters and digits of any script, as Python's `\w` has them. */
const NAME = /^[/\p{L}\p{N}_.\- :]*$/u;

/** Names that passed before; a process logs the same few thousand again and again. */
const passed = new Set<string>();
const MAX_PASSED = 20_000;

/** @throws MlflowError INVALID_PARAMETER_VALUE unless it can name a metric, a param or a tag. */
export function assertName(name: string, path: string): void {
  if (passed.has(name)) return;
  if (!NAME.test(name))
    throw invalidValue(
      path,
      name,
      'Names may only contain alphanumerics, underscores (_), dashes (-), periods (.), spaces ( ), colon(:) and slashes (/).',
    );
  const resolved = resolvedPath(name);
  if (resolved !== name || resolved === '.' || resolved.startsWith('..') || resolved.startsWith('/'))
    throw invalidValue(
      path,
      name,
      `Names may be treated as files in certain cases, and must not resolve to other names when treated as such. This name would resolve to '${resolved}'`,
    );
  if (passed.size >= MAX_PASSED) passed.clear();
  passed.add(name);
}

/** @throws MlflowError INVALID_PARAMETER_VALUE where it is longer. */
export function assertLength(what: string, text: string, limit: number): void {
  if (text.length > limit)
    throw new MlflowError(
      'INVALID_PARAMETER_VALUE',
      `'${what}' exceeds the maximum length of ${limit} characters`,
    );
}

/** Long values are cut, not refused, unless MLFLOW_TRUNCATE_LONG_VALUES is off at MLflow's server; never inside a character. */
export function cut(text: string, limit: number): string {
  if (text.length <= limit) return text;
  const isInside = /[\uD800-\uDBFF]/.test(text[limit - 1]!);
  return text.slice(0, isInside ? limit - 1 : limit);
}

export interface Pair {
  readonly key: string;
  readonly value: string;
}

/** @throws MlflowError INVALID_PARAMETER_VALUE. */
export function checkedParam({ key, value }: Pair, path = 'key'): Pair {
  assertName(key, path);
  assertLength('Param key', key, LOG_LIMITS.key);
  return { key, value: cut(value, LOG_LIMITS.paramValue) };
}

/** @throws MlflowError INVALID_PARAMETER_VALUE. */
export function checkedTag({ key, value }: Pair, path = 'key'): Pair {
  assertName(key, path);
  assertLength(path, key, LOG_LIMITS.key);
  return { key, value: cut(value, LOG_LIMITS.tagValue) };
}

/** @throws MlflowError INVALID_PARAMETER_VALUE. */
export function assertMetric(
  metric: { readonly key: string; readonly value: number; readonly timestamp: number | string },
  path = '',
): void {
  const at = path === '' ? '' : `${path}.`;
  assertName(metric.key, `${at}name`);
  if (typeof metric.timestamp === 'number' ? metric.timestamp < 0 : metric.timestamp.startsWith('-'))
    throw invalidValue(
      `${at}timestamp`,
      metric.timestamp,
      `metric '${metric.key}' (value=${metric.value}). Timestamp must be a nonnegative long (64-bit integer) `,
    );
  assertLength('Metric name', metric.key, LOG_LIMITS.key);
}

interface Batch {
  readonly metrics: readonly unknown[];
  readonly params: readonly Pair[];
  readonly tags: readonly unknown[];
}

/** @throws MlflowError INVALID_PARAMETER_VALUE for a batch that is too large, or names a param twice. */
export function assertBatch({ metrics, params, tags }: Batch): void {
  assertCount('metrics', LOG_LIMITS.metrics, metrics.length);
  assertCount('params', LOG_LIMITS.params, params.length);
  assertCount('tags', LOG_LIMITS.tags, tags.length);
  assertCount('metrics, params, and tags', LOG_LIMITS.total, metrics.length + params.length + tags.length);
  const seen = new Set<string>();
  const twice = params.map(({ key }) => key).filter((key) => seen.size === seen.add(key).size);
  if (twice.length > 0)
    throw new MlflowError(
      'INVALID_PARAMETER_VALUE',
      `Duplicate parameter keys have been submitted: ${pythonList(twice)}. Please ensure the request contains only one param value per param key.`,
    );
}

function assertCount(what: string, limit: number, count: number): void {
  if (count > limit)
    throw new MlflowError(
      'INVALID_PARAMETER_VALUE',
      `A batch logging request can contain at most ${limit} ${what}. Got ${count} ${what}. Please split up ${what} across multiple requests and try again.`,
    );
}

/** How Python shows text in a list. */
export function pythonText(text: string): string {
  const escaped = text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n');
  return escaped.includes("'") && !escaped.includes('"')
    ? `"${escaped}"`
    : `'${escaped.replaceAll("'", "\\'")}'`;
}

const pythonList = (texts: readonly string[]): string => `[${texts.map(pythonText).join(', ')}]`;

/** What a POSIX path comes down to: https://docs.python.org/3/library/os.path.html#os.path.normpath */
function resolvedPath(path: string): string {
  const root = path.startsWith('//') && !path.startsWith('///') ? '//' : path.startsWith('/') ? '/' : '';
  const kept: string[] = [];
  for (const part of path.split('/')) {
    if (part === '' || part === '.') continue;
    if (part !== '..' || (root === '' && kept.length === 0) || kept.at(-1) === '..') kept.push(part);
    else kept.pop();
  }
  return root + kept.join('/') || '.';
}
