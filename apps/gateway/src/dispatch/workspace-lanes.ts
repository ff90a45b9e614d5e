import type { DataClass } from '#libs/core/clearance/clearance.js';
import type { StructuredOutput } from '#libs/core/contract/structured-output.js';
import type { Provider } from '../providers/provider.js';
import { keyIn } from '../snapshot/workspace-key.js';
import type { ReplicaLane } from './replica-lane.js';
import type { ReplicaLanes } from './replica-lanes.js';

/** The lanes of one workspace, by the names its chains use: what they name can be in no other. */
export class WorkspaceLanes {
  constructor(
    private readonly lanes: ReplicaLanes,
    private readonly workspaceId: string,
  ) {}

  find(modelEndpoint: string): ReplicaLane | undefined {
    return this.lanes.find(keyIn(this.workspaceId, modelEndpoint));
  }

  providerOf(modelEndpoint: string): Provider {
    return this.lanes.providerOf(keyIn(this.workspaceId, modelEndpoint));
  }

  structuredOutputOf(modelEndpoint: string): StructuredOutput {
    return this.lanes.structuredOutputOf(keyIn(this.workspaceId, modelEndpoint));
  }

  mayRun(modelEndpoint: string, dataClass: DataClass): boolean {
    return this.lanes.mayRun(keyIn(this.workspaceId, modelEndpoint), dataClass);
  }
}
