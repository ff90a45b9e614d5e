/** The `run_id` of the MLflow protocol: 32 hexadecimal digits without hyphens. */
export function runHex(id: string): string {
  return id.replaceAll('-', '');
}

/** The UUID of a run from either spelling; undefined when it is neither. */
export function parseRunId(given: string): string | undefined {
  const text = given.toLowerCase();
  const id = /^[0-9a-f]{32}$/.test(text)
    ? text.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
    : text;
  return /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(id) ? id : undefined;
}
