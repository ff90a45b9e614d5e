import { proxiedPath } from '../artifacts/artifact-location.js';
import { MlflowError } from '../protocol/mlflow-error.js';
import { badSource } from './registry-refusals.js';

/** What the source of a model version says about itself. */
export type SourceUri =
  | { readonly at: 'run'; readonly runId: string; readonly path: string }
  | { readonly at: 'loggedModel'; readonly modelId: string }
  | { readonly at: 'version'; readonly name: string; readonly by: VersionOf }
  /** A path of this server's artifact proxy. */
  | { readonly at: 'proxy'; readonly path: string }
  | { readonly at: 'elsewhere' };

/** As the content of a model version has it; to undo the encodings of a long one takes its length squared. */
const MAX_SOURCE = 2048;

export type VersionOf =
  { readonly version: string } | { readonly alias: string } | { readonly stage: string } | 'latest';

/**
 * Reads a source as MLflow 3.17 does (mlflow/server/handlers.py, `_validate_source_run`), and refuses what could lead
 * anywhere but where it says: local paths, and `..` however often it is encoded.
 * @throws MlflowError INVALID_PARAMETER_VALUE
 */
export function readSource(source: string): SourceUri {
  if (source.length > MAX_SOURCE)
    throw badSource(`${source.slice(0, 200)}…`, `It has more than ${MAX_SOURCE} characters.`);
  const { scheme, authority, path } = split(source);
  if (scheme === '' || scheme === 'file')
    throw badSource(
      source,
      'To use a local path as a model version source, the run_id request parameter has to be specified and the local path has to be contained within the artifact directory of the run specified by the run_id.',
    );
  refuseTraversal(source);
  switch (scheme) {
    case 'runs': {
      const [runId = '', ...rest] = path.slice(1).split('/');
      if (authority !== '' || !path.startsWith('/') || runId === '') throw unidentified(source, 'run_id');
      return { at: 'run', runId, path: rest.join('/').replace(/\/+$/, '') };
    }
    case 'models':
      if (authority !== '') throw unidentified(source, 'model_id');
      return readModelUri(source, path);
    case 'mlflow-artifacts':
      if (authority !== '') throw unidentified(source, 'run_id');
      return { at: 'proxy', path: decoded(path).replace(/^\/+/, '') };
    default:
      // The proxy under a name of its own: whether it is this server cannot be known.
      if (proxiedPath(source) !== undefined) throw unidentified(source, 'run_id');
      return { at: 'elsewhere' };
  }
}

/** `models:/<model id>`, `models:/<name>/<version, stage or "latest">` or `models:/<name>@<alias>`. */
function readModelUri(source: string, path: string): SourceUri {
  const [first = '', second, ...more] = path.replace(/^\/+/, '').split('/');
  if (!path.startsWith('/') || first.trim() === '' || more.length > 0 || second?.trim() === '')
    throw badSource(
      source,
      'Write models:/<model id>, models:/<name>/<version>, models:/<name>/<stage> or models:/<name>@<alias>.',
    );
  if (second !== undefined) {
    if (/^\d+$/.test(second)) return { at: 'version', name: first, by: { version: second } };
    return {
      at: 'version',
      name: first,
      by: second.toLowerCase() === 'latest' ? 'latest' : { stage: second },
    };
  }
  const at = first.lastIndexOf('@');
  if (at === -1) return { at: 'loggedModel', modelId: first };
  const alias = first.slice(at + 1);
  if (alias.trim() === '') throw badSource(source, 'It lacks the alias after the @.');
  return { at: 'version', name: first.slice(0, at), by: { alias } };
}

export function unidentified(source: string, parameter: 'run_id' | 'model_id'): MlflowError {
  return badSource(
    source,
    `The ${parameter} request parameter must identify the resource that contains the source.`,
  );
}

function split(uri: string): { scheme: string; authority: string; path: string } {
  const [, scheme = '', authority = '', path = ''] =
    /^(?:([a-zA-Z][a-zA-Z0-9+.-]*):)?(?:\/\/([^/?#]*))?([^?#]*)/.exec(uri)!;
  return { scheme: scheme.toLowerCase(), authority, path };
}

function refuseTraversal(source: string): void {
  let plain = source;
  for (let last = ''; last !== plain;) {
    last = plain;
    plain = unquoted(plain);
  }
  const path = split(plain).path.replace(/\/+$/, '').replace(/\/+/g, '/');
  const segments = plain.split(/[/\\]/);
  if (
    path.startsWith('/') &&
    !path.includes('\0') &&
    !segments.includes('..') &&
    !path.split('/').includes('.')
  )
    return;
  throw badSource(
    source,
    'If supplying a source as an http, https, local file path, ftp, objectstore, or mlflow-artifacts uri, an absolute path must be provided without relative path references present. Please provide an absolute path.',
  );
}

/** One round of percent-decoding, byte by byte: only ASCII matters here, and nothing of it can fail. */
const unquoted = (text: string): string =>
  text.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)));

/** The path, percent-decoded where that is possible. */
function decoded(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}
