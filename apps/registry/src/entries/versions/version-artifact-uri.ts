/**
 * Where MLflow's clients find the artifacts of a version. By id, so that it outlives a rename and needs no escaping:
 * names of models may hold anything but slash and colon.
 */
export function versionArtifactUri(versionId: string): string {
  return `mlflow-artifacts:/versions/${versionId}`;
}
