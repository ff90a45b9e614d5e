import { servedColumns } from '../spool/columns.js';
import type { ServedArm, ServedEndpoint } from '../snapshot/snapshot.js';

/** What all requests of an arm have in common, in the form that rows and answers want it. */
export interface ArmIdentity {
  /** See `servedColumns`. */
  readonly columns: Buffer;
  /** Names and values, one after the other. */
  readonly headers: readonly string[];
}

/** By arm: a new revision of a split has new ones, and what is kept for the old goes with them. */
const known = new WeakMap<ServedArm, ArmIdentity>();

/** Made at the arm's first request. */
export function identityOf(endpoint: ServedEndpoint, arm: ServedArm): ArmIdentity {
  let identity = known.get(arm);
  if (!identity) {
    const { workspaceId, name, splitRevision } = endpoint;
    const { chain } = arm;
    identity = {
      columns: servedColumns({
        workspaceId,
        endpoint: name,
        splitRevision,
        arm: arm.name,
        chain: chain.name,
        chainVersion: chain.version,
        chainDigest: chain.digest,
      }),
      headers: [
        'x-catena-chain-version',
        `${chain.name}@${chain.version}`,
        'x-catena-arm',
        arm.name,
        'x-catena-split-revision',
        String(splitRevision),
      ],
    };
    known.set(arm, identity);
  }
  return identity;
}
