import type { DataClass } from '#libs/core/clearance/clearance.js';
import { DEFAULT_WORKSPACE_ID } from '#libs/platform/database/default-workspace.js';

/** What a key may be used for. */
export type Action = 'resolve' | 'invoke';

/** On whose behalf a request acts. */
export interface Caller {
  readonly workspaceId: string;
  /** Name of its key; null where none is asked for. */
  readonly name: string | null;
  readonly team: string | null;
  /** The most sensitive class of data it may send. */
  readonly clearance: DataClass;
  /** Names of the endpoints it is for; undefined: all of the workspace. */
  readonly endpoints: ReadonlySet<string> | undefined;
  may(action: Action): boolean;
  /** @param endpoint name of a serving endpoint of its workspace. */
  mayUse(endpoint: string): boolean;
}

/** Everybody, where no key is asked for. */
export const ANYBODY: Caller = {
  workspaceId: DEFAULT_WORKSPACE_ID,
  name: null,
  team: null,
  clearance: 'restricted',
  endpoints: undefined,
  may: () => true,
  mayUse: () => true,
};
