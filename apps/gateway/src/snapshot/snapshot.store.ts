import { Injectable } from '@nestjs/common';
import { GatewayError } from '../http/gateway-error.js';
import type { LoadedSnapshot } from './loaded-snapshot.js';
import type { Snapshot } from './snapshot.js';

/** Holds the one snapshot in force. Take `current` once per request, so that a request sees one state only. */
@Injectable()
export class SnapshotStore {
  private held: LoadedSnapshot | undefined;
  private readonly listeners: ((snapshot: LoadedSnapshot) => void)[] = [];

  /** @throws GatewayError 503 until the first snapshot is there. */
  get current(): Snapshot {
    if (this.held !== undefined) return this.held;
    throw new GatewayError(
      503,
      'service_unavailable_error',
      'not_ready',
      'The gateway has neither reached its database nor found a snapshot on its disk yet; try again shortly.',
      undefined,
      { 'retry-after': '1' },
    );
  }

  /** The snapshot in force, or undefined before the first. */
  find(): LoadedSnapshot | undefined {
    return this.held;
  }

  /** Puts a snapshot in force with one assignment, then tells the listeners. */
  swap(snapshot: LoadedSnapshot): void {
    this.held = snapshot;
    for (const listener of this.listeners) listener(snapshot);
  }

  onSwap(listener: (snapshot: LoadedSnapshot) => void): void {
    this.listeners.push(listener);
  }
}
