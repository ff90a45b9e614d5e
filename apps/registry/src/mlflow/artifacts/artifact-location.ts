import { DomainError } from '#libs/core/errors/catalogue.js';
import type { OwnerReference } from '../../artifacts/artifact-owner.js';
import { problemOfPath } from '../../artifacts/artifact-path.js';
import { parseLoggedModelId } from '../../logged-models/logged-model-id.js';
import { parseRunId } from '../../runs/run-id.js';
import { MlflowError } from '../protocol/mlflow-error.js';

/** Where a path of the artifact proxy leads. */
export interface ArtifactLocation {
  readonly owner: OwnerReference;
  /** Inside the owner; '' is its root. */
  readonly path: string;
}

const SCHEME = /^mlflow-artifacts:(?:\/\/[^/]*)?\/?/;
const PROXY_URL = /^https?:\/\/.*\/api\/2\.0\/mlflow-artifacts\/artifacts\/?/;

/**
 * Reads a path below the root of the proxy: whoever owns it says so himself, as `…/<run id>/artifacts/…`,
 * `…/models/<model id>/artifacts/…`, `…/traces/<trace id>/artifacts/…` or `versions/<id>/…`, whatever an experiment's
 * location puts in front. All else belongs to the workspace.
 * @param path decoded, without a leading slash; '' for the root.
 * @throws MlflowError INVALID_PARAMETER_VALUE for a path that leads elsewhere.
 */
export function locate(path: string): ArtifactLocation {
  const trimmed = withoutSlashes(path);
  if (trimmed !== '' && problemOfPath(trimmed) !== undefined) throw invalidPath();
  const segments = trimmed.split('/');
  const rest = (from: number): string => segments.slice(from).join('/');
  if (segments[0] === 'versions' && segments.length > 1)
    return { owner: { kind: 'version', versionId: versionIdOf(segments[1]!) }, path: rest(2) };
  for (const [index, segment] of segments.entries()) {
    if (segments[index + 1] !== 'artifacts') continue;
    const owner = ownerNamed(segment, segments[index - 1]);
    if (owner) return { owner, path: rest(index + 2) };
  }
  return { owner: { kind: 'workspace' }, path: trimmed };
}

function ownerNamed(id: string, folder: string | undefined): OwnerReference | undefined {
  if (folder === 'traces') return { kind: 'trace', traceId: id };
  const loggedModelId = folder === 'models' ? parseLoggedModelId(id) : undefined;
  if (loggedModelId !== undefined) return { kind: 'loggedModel', loggedModelId };
  const runId = parseRunId(id);
  return runId === undefined ? undefined : { kind: 'run', runId };
}

function versionIdOf(given: string): string {
  const id = parseRunId(given); // a UUID
  if (id === undefined) throw invalidPath();
  return id;
}

/** The path behind a URI that this server serves itself; undefined for artifacts that are elsewhere. */
export function proxiedPath(uri: string): string | undefined {
  const prefix = SCHEME.exec(uri) ?? PROXY_URL.exec(uri);
  return prefix === null ? undefined : uri.slice(prefix[0].length);
}

/** @param path as it stands in a URL. @throws MlflowError INVALID_PARAMETER_VALUE. */
export function decodePath(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    throw invalidPath();
  }
}

/** A path that clients give relative to an owner; '' for its root. @throws MlflowError INVALID_PARAMETER_VALUE. */
export function relativePath(given: string | undefined): string {
  const path = withoutSlashes(given ?? '');
  if (given?.startsWith('/') || (path !== '' && problemOfPath(path) !== undefined)) throw invalidPath();
  return path === '.' ? '' : path;
}

/**
 * What MLflow's clients registered is whole from the start: they can add nothing to it, neither by its own path nor
 * by an experiment whose location lies inside.
 * @throws DomainError IMMUTABLE for files of versions.
 */
export function refuseVersion({ owner }: ArtifactLocation): void {
  if (owner.kind === 'version')
    throw new DomainError('IMMUTABLE', 'Artifacts of versions never change; register another version.');
}

/** Without the slashes at its end. `/\/+$/` would take the square of those inside. */
function withoutSlashes(path: string): string {
  let end = path.length;
  while (path[end - 1] === '/') end--;
  return path.slice(0, end);
}

/** As MLflow says it. */
export function invalidPath(): MlflowError {
  return new MlflowError('INVALID_PARAMETER_VALUE', 'Invalid path');
}
