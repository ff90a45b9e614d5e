import { DELIMITER, QUOTE } from './csv-parts.js';
import { quoted, type Duck } from './duck.js';

/** What DuckDB has to know of a CSV file beforehand to read it in bounded memory. */
export interface CsvFile {
  readonly path: string;
  readonly rows: number;
  readonly sizeBytes: number;
  readonly longestRowBytes: number;
}

/** What was written. */
export interface ParquetFile {
  readonly rows: number;
  readonly minStartedAt: Date;
  readonly maxStartedAt: Date;
}

const KIB = 1024;
const MIN_BUFFER_BYTES = 4096 * KIB;
/** What a row group is to have before compression: it is held in memory, once per thread. */
const ROW_GROUP_BYTES = 32 * 1024 * KIB;
/** Bodies are 5 % larger than with DuckDB's 3, for two thirds of the CPU time of all of it. */
const ZSTD_LEVEL = 1;
/** DuckDB's vectors have 2048 rows; its row groups 122 880 unless told otherwise. */
const VECTOR = 2048;
const MAX_ROW_GROUP = 60 * VECTOR;

/**
 * Rows of a CSV file as COPY writes them with the bytes of csv-parts.ts: without a header, null unquoted and empty.
 * @param columns name and type.
 */
export function csvRows(csv: CsvFile, columns: Readonly<Record<string, string>>): string {
  const types = Object.entries(columns).map(([name, type]) => `${quoted(name)}: ${quoted(type)}`);
  // In parallel, DuckDB 1.5.5 takes newlines inside of long fields for ends of rows.
  // It counts a row's bytes up to and with its end; a buffer must hold two such rows.
  const longest = csv.longestRowBytes + KIB;
  return `read_csv(${quoted(csv.path)}, columns = {${types.join(', ')}}, header = false, auto_detect = false,
    delim = chr(${DELIMITER}), quote = chr(${QUOTE}), escape = chr(${QUOTE}), new_line = '\\n', nullstr = '', parallel = false,
    allow_quoted_nulls = false, max_line_size = ${longest}, buffer_size = ${Math.max(MIN_BUFFER_BYTES, 2 * longest)})`;
}

/**
 * Writes rows as Parquet, in their order.
 * @param rows what can stand behind FROM; it has `started_at`.
 * @param size of the rows, about.
 */
export async function writeParquet(
  duck: Duck,
  rows: string,
  size: Pick<CsvFile, 'rows' | 'sizeBytes'>,
  path: string,
): Promise<ParquetFile> {
  const fitting = (ROW_GROUP_BYTES * size.rows) / Math.max(1, size.sizeBytes);
  const rowGroup = Math.min(MAX_ROW_GROUP, Math.max(VECTOR, Math.floor(fitting / VECTOR) * VECTOR));
  await duck.query(
    `COPY (FROM ${rows}) TO ${quoted(path)} (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL ${ZSTD_LEVEL}, ROW_GROUP_SIZE ${rowGroup})`,
  );
  const [written] = await duck.query<ParquetFile>(
    `SELECT count(*) AS rows, min(started_at) AS "minStartedAt", max(started_at) AS "maxStartedAt"
       FROM ${parquetRows([path])}`,
  );
  return written!;
}

/** Rows of Parquet files of one schema. */
export function parquetRows(paths: readonly string[]): string {
  return `read_parquet([${paths.map(quoted).join(', ')}], hive_partitioning = false)`;
}
