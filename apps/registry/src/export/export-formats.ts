import { DELIMITER, QUOTE } from '../archive/csv-parts.js';

/** A value of an exported row: text, number, boolean, time or nothing. */
type Cell = unknown;

/** What spreadsheets take for a formula when a cell begins with it. https://owasp.org/www-community/attacks/CSV_Injection */
const FORMULA = /^[=+\-@\t\r\n＝＋－＠]/u;

/** JSON text among the columns; bodies stay text, whatever they are. */
const JSON_COLUMNS: ReadonlySet<string> = new Set(['contract_rungs', 'feedback']);

export function jsonLine(row: Readonly<Record<string, Cell>>): string {
  const value = (name: string, cell: Cell): unknown =>
    JSON_COLUMNS.has(name) && typeof cell === 'string' ? JSON.parse(cell) : cell;
  return `${JSON.stringify(Object.fromEntries(Object.entries(row).map(([name, cell]) => [name, value(name, cell)])))}\n`;
}

/**
 * A record of RFC 4180 for people: text is always quoted, so that nothing and the empty text differ, and never begins
 * like a formula. Numbers are no text.
 */
export function csvRecord(cells: readonly Cell[]): string {
  const shown = cells.map((cell) => {
    if (typeof cell !== 'string') return plain(cell);
    return `"${(FORMULA.test(cell) ? `'${cell}` : cell).replaceAll('"', '""')}"`;
  });
  return `${shown.join(',')}\r\n`;
}

const RARE_QUOTE = String.fromCharCode(QUOTE);
const RARE_DELIMITER = String.fromCharCode(DELIMITER);

/** A record as parquet.ts reads it. */
export function copyRecord(cells: readonly Cell[]): string {
  const shown = cells.map((cell) =>
    typeof cell === 'string'
      ? `${RARE_QUOTE}${cell.replaceAll(RARE_QUOTE, RARE_QUOTE + RARE_QUOTE)}${RARE_QUOTE}`
      : plain(cell),
  );
  return `${shown.join(RARE_DELIMITER)}\n`;
}

function plain(cell: Cell): string {
  if (cell === null || cell === undefined) return '';
  return cell instanceof Date ? cell.toISOString() : String(cell);
}
