import { stringify as uuidText } from 'uuid';
import { UNFIT_BYTES } from './column-writer.js';
import { EPOCH_US, INFERENCE_COLUMNS, PAYLOAD_COLUMNS, type CopyType } from './copy-format.js';
import type { EncodedRow } from './row-slabs.js';
import type { ShippableRow } from './shippable-row.js';

const NUMERIC: ReadonlySet<CopyType> = new Set(['int2', 'int4', 'int8']);

/** The fields of a row of both tables, named as in the API; for people, not for the way to the database. */
export function decodeRow({
  inference,
  payload,
}: Pick<ShippableRow, 'inference' | 'payload'>): Record<string, unknown> {
  return { ...decodeColumns(INFERENCE_COLUMNS, inference), ...decodeColumns(PAYLOAD_COLUMNS, payload) };
}

function decodeColumns(
  columns: readonly (readonly [name: string, type: CopyType])[],
  { slab, start, end }: EncodedRow,
): Record<string, unknown> {
  const row = slab.bytes.subarray(start, end);
  const fields: Record<string, unknown> = {};
  let offset = 2;
  for (const [column, type] of columns) {
    const length = row.readInt32BE(offset);
    offset += 4;
    const name = column.replaceAll(/_(.)/g, (_, letter: string) => letter.toUpperCase());
    fields[name] = length === -1 ? null : decode(type, row.subarray(offset, offset + length));
    offset += Math.max(0, length);
  }
  return fields;
}

function decode(type: CopyType, value: Buffer): unknown {
  if (value.length === UNFIT_BYTES && NUMERIC.has(type)) return value.readDoubleBE(1);
  switch (type) {
    case 'uuid':
      return uuidText(value);
    case 'time':
      return new Date((Number(value.readBigInt64BE()) + EPOCH_US) / 1000).toISOString();
    case 'text':
      return value.toString('utf8');
    case 'int2':
      return value.readInt16BE();
    case 'int4':
      return value.readInt32BE();
    case 'int8':
      return Number(value.readBigInt64BE());
    case 'float8':
      return value.readDoubleBE();
    case 'jsonb':
      return value.toString('utf8', 1);
    case 'bool':
    default:
      return value[0] === 1;
  }
}
