import { randomUUID } from 'node:crypto';

/**
 * What a gateway reserves over one connection, in each workspace. Another connection is another session: whether Redis
 * had run what was under way on the one before is not known, and what it may have reserved goes with the session.
 */
export class Session {
  readonly id = randomUUID();
  /** Workspaces in which Redis knows of it. */
  readonly workspaces = new Set<string>();
  private readonly held = new Map<string, number>();

  hold(workspaceId: string): void {
    this.held.set(workspaceId, this.holds(workspaceId) + 1);
  }

  letGo(workspaceId: string): void {
    this.held.set(workspaceId, this.holds(workspaceId) - 1);
  }

  /** How many reservations it has. */
  holds(workspaceId: string): number {
    return this.held.get(workspaceId) ?? 0;
  }
}
