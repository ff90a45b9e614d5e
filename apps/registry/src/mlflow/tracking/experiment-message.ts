import type { Experiment } from '../../experiments/experiment.entity.js';
import { experimentLocation } from './artifact-uri.js';

export const VIEW_TYPES = { ACTIVE_ONLY: 1, DELETED_ONLY: 2, ALL: 3 } as const;

/** How the native services name a view. */
export const LIFECYCLES = { ACTIVE_ONLY: 'active', DELETED_ONLY: 'deleted', ALL: 'all' } as const;

type Shown = Pick<
  Experiment,
  'number' | 'name' | 'artifactLocation' | 'tags' | 'createdAt' | 'updatedAt' | 'deletedAt'
>;

/** MLflow's message `Experiment`. */
export function experimentMessage(experiment: Shown, workspace: string): object {
  return {
    experiment_id: String(experiment.number),
    name: experiment.name,
    artifact_location: experimentLocation(experiment.number, experiment.artifactLocation),
    lifecycle_stage: experiment.deletedAt === null ? 'active' : 'deleted',
    last_update_time: experiment.updatedAt.getTime(),
    creation_time: experiment.createdAt.getTime(),
    tags: Object.entries(experiment.tags).map(([key, value]) => ({ key, value })),
    workspace,
  };
}
