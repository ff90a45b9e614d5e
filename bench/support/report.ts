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
