import type { SealedSecret } from '#libs/platform/secrets/secret-box.js';
import type { RegisteredChain } from './registered-chain.js';
import type { ServedArm, ServedEndpoint, ServedModelEndpoint, ServedShadow, Snapshot } from './snapshot.js';

/** A snapshot with what it takes to write it to the disk again; the request path sees `Snapshot` only. */
export interface LoadedSnapshot extends Snapshot {
  /** See `Head`. */
  readonly stamp: string;
  readonly endpoints: ReadonlyMap<string, LoadedEndpoint>;
  readonly modelEndpoints: ReadonlyMap<string, LoadedModelEndpoint>;
}

export interface LoadedArm extends ServedArm {
  readonly chain: RegisteredChain;
}

export interface LoadedShadow extends ServedShadow {
  readonly arm: LoadedArm;
}

export interface LoadedEndpoint extends ServedEndpoint {
  readonly arms: readonly LoadedArm[];
  readonly shadows: readonly LoadedShadow[] | undefined;
}

export interface LoadedModelEndpoint extends ServedModelEndpoint {
  /** As the database holds it: the disk never sees the credential itself. */
  readonly sealedCredential: SealedSecret | undefined;
}
