import type { Owner, OwnerType } from './artifact-owner.js';

const OWNED = {
  version: 'version_id',
  run: 'run_id',
  loggedModel: 'logged_model_id',
  trace: 'trace_id',
} as const satisfies Partial<Record<OwnerType, string>>;

export const OWNER_COLUMNS = Object.values(OWNED);
/** As in the predicate of the index `artifact_workspace_path_key`, which this has to match. */
const OWNERLESS = 'num_nonnulls(version_id, run_id, logged_model_id, trace_id) = 0';

/** SQL: rows of this owner, whose id is the parameter `id`, and whose workspace is the parameter `workspace`. */
export function isOwnedBy(owner: Owner, workspace: string, id: string): string {
  return owner.type === 'workspace'
    ? `workspace_id = ${workspace} AND ${OWNERLESS} AND ${id}::uuid IS NULL`
    : `workspace_id = ${workspace} AND ${OWNED[owner.type]} = ${id}`;
}

/** SQL: the unique index over the paths of this owner, for ON CONFLICT. */
export function pathKeyOf(owner: Owner): string {
  return owner.type === 'workspace'
    ? `(workspace_id, path) WHERE ${OWNERLESS}`
    : `(${OWNED[owner.type]}, path) WHERE ${OWNED[owner.type]} IS NOT NULL`;
}

/** Values of `OWNER_COLUMNS`. */
export function ownerValues(owner: Owner): (string | null)[] {
  return OWNER_COLUMNS.map((column) =>
    owner.type !== 'workspace' && column === OWNED[owner.type] ? owner.id : null,
  );
}
