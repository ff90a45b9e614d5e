import { DEFAULT_WORKSPACE_ID } from '#libs/platform/database/default-workspace.js';

/**
 * Key of a named thing among those of all workspaces: in the default workspace its name as it is, which costs
 * nothing to make. No name that the registry takes has a slash.
 */
export function keyIn(workspaceId: string, name: string): string {
  return workspaceId === DEFAULT_WORKSPACE_ID ? name : `${workspaceId}/${name}`;
}

/** What has this name in this workspace. Callers may send any name, also one that looks like a key of another workspace. */
export function findIn<T extends { readonly workspaceId: string }>(
  all: ReadonlyMap<string, T>,
  workspaceId: string,
  name: string,
): T | undefined {
  const found = all.get(keyIn(workspaceId, name));
  return found?.workspaceId === workspaceId ? found : undefined;
}
