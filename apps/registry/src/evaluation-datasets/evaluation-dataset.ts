/** Cases that versions are evaluated with: inputs, and what is expected of the outputs. */
export interface EvaluationDataset {
  readonly id: string;
  readonly name: string;
  readonly tags: Readonly<Record<string, string>>;
  /** Fields that records have, and their types; null before the first record. */
  readonly schema: DatasetSchema | null;
  readonly recordCount: number;
  /** Changes with every change of the records. */
  readonly digest: string;
  readonly createdAt: Date;
  readonly createdBy: string | null;
  readonly updatedAt: Date;
  readonly updatedBy: string | null;
  /** Numbers, ascending. */
  readonly experiments: readonly number[];
}

export interface DatasetSchema {
  readonly inputs: Record<string, string>;
  readonly outputs: Record<string, string> | string;
  readonly expectations: Record<string, string>;
  readonly version: string;
}

/** A record; what is JSON is text, kept as it was sent. */
export interface DatasetRecord {
  readonly id: string;
  readonly inputs: string;
  readonly outputs: string | null;
  readonly expectations: string | null;
  readonly tags: string | null;
  readonly source: string | null;
  readonly createdAt: Date;
  readonly createdBy: string | null;
  readonly updatedAt: Date;
  readonly updatedBy: string | null;
}

const EMPTY: DatasetSchema = { inputs: {}, outputs: {}, expectations: {}, version: '1.0' };

/** Adds fields that records have and the schema has not. */
export function extendSchema(
  schema: DatasetSchema | null,
  records: readonly Readonly<Record<string, unknown>>[],
): DatasetSchema {
  const extended = structuredClone(schema ?? EMPTY) as {
    inputs: Record<string, string>;
    outputs: Record<string, string> | string;
    expectations: Record<string, string>;
    version: string;
  };
  for (const record of records) {
    addFields(extended.inputs, record['inputs']);
    addFields(extended.expectations, record['expectations']);
    const { outputs } = record;
    if (outputs === undefined || outputs === null) continue;
    if (isObject(outputs) && typeof extended.outputs === 'object') addFields(extended.outputs, outputs);
    else if (!isObject(outputs) && Object.keys(extended.outputs).length === 0)
      extended.outputs = typeOf(outputs);
  }
  return extended;
}

function addFields(fields: Record<string, string>, values: unknown): void {
  if (!isObject(values)) return;
  for (const [key, value] of Object.entries(values))
    if (!Object.hasOwn(fields, key)) fields[key] = typeOf(value);
}

function typeOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  if (typeof value === 'number') return Number.isInteger(value) ? 'integer' : 'float';
  return typeof value;
}

export const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
