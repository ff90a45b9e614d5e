import { readFile, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus } from 'node:os';

/** One line of the benchmark table. */
export interface Row {
  readonly what: string;
  readonly reference: string;
  /** Both absolute figures, for orientation: they say as much about the machine as about the code. */
  readonly measured: string;
  /** Subject over reference, median of the rounds. */
  readonly ratio: number;
  readonly reach: string;
  readonly reached: boolean;
}

const HEAD = ['what', 'reference in the same run', 'measured', 'ratio', 'reach', ''];

export function markdownTable(rows: readonly Row[]): string {
  const cells = rows.map((row) => [
    row.what,
    row.reference,
    row.measured,
    `${row.ratio.toFixed(2)}×`,
    row.reach,
    row.reached ? 'reached' : '**missed**',
  ]);
  return [HEAD, HEAD.map(() => '---'), ...cells].map((line) => `| ${line.join(' | ')} |`).join('\n');
}

/** Keeps a table in docs/benchmarks.md, between the comments `<!-- mark -->` and `<!-- /mark -->`. */
export async function keepTable(
  mark: string,
  rounds: number,
  rows: readonly Row[],
  about = '',
): Promise<void> {
  const page = 'docs/benchmarks.md';
  const marks = new RegExp(`(<!-- ${mark} -->)[\\s\\S]*?(<!-- /${mark} -->)`);
  const machine = [
    new Date().toISOString().slice(0, 10),
    `Node ${process.version}`,
    `${availableParallelism()} × ${cpus()[0]?.model ?? 'unknown processor'}`,
    ...(about ? [about] : []),
    `${rounds} rounds.`,
  ].join(', ');
  const before = await readFile(page, 'utf8');
  if (!marks.test(before)) throw new Error(`${page} has no marks for the table.`);
  await writeFile(
    page,
    before.replace(
      marks,
      (_, open: string, close: string) => `${open}\n\n${machine}\n\n${markdownTable(rows)}\n\n${close}`,
    ),
  );
}
