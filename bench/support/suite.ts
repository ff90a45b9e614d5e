import { parseArgs } from 'node:util';
import { keepTable, markdownTable, type Row } from './report.js';

/** @typeParam S what it measures: a stack of servers that run. */
export interface Bench<S> {
  /** What `--only` calls it. */
  readonly name: string;
  run(stack: S): Promise<Row[]>;
}

/** A table of docs/benchmarks.md. All its benches measure one stack, in this order. */
export interface Table<S> {
  /** See `keepTable`. */
  readonly mark: string;
  readonly rounds: number;
  readonly benches: readonly Bench<S>[];
  readonly about?: string;
}

interface Stoppable {
  stop(): Promise<void>;
}

export interface SuiteOptions {
  readonly quick: boolean;
  readonly write: boolean;
  readonly only: readonly string[];
}

/** The command line. @throws TypeError for an option that is none. */
export function readOptions(): SuiteOptions {
  return parseArgs({
    options: {
      quick: { type: 'boolean', default: false },
      write: { type: 'boolean', default: false },
      only: { type: 'string', multiple: true, default: [] },
    },
  }).values;
}

/**
 * The tables, with the benches that `--only` names; without it with all of them.
 * @throws Error for a name that is none, and for `--write` of a table of which rows would be missing.
 */
export function chosen<S>(tables: readonly Table<S>[], only: readonly string[], write: boolean): Table<S>[] {
  const names = tables.flatMap(({ benches }) => benches.map(({ name }) => name));
  const unknown = only.filter((name) => !names.includes(name));
  if (unknown.length > 0)
    throw new Error(`No benchmark ${unknown.join(', ')}: there are ${names.join(', ')}.`);
  if (only.length === 0) return [...tables];
  return tables.flatMap((table) => {
    const benches = table.benches.filter(({ name }) => only.includes(name));
    if (benches.length === 0) return [];
    if (write && benches.length < table.benches.length)
      throw new Error(
        `--write keeps whole tables, so that all rows are of one run: name ${table.benches.map(({ name }) => name).join(', ')} together, or leave --write away.`,
      );
    return [{ ...table, benches }];
  });
}

/**
 * Runs tables, each with a stack of its own, and prints what they found.
 * @param write keeps it in docs/benchmarks.md too.
 */
export async function runTables<S extends Stoppable>(
  tables: readonly Table<S>[],
  start: () => Promise<S>,
  write: boolean,
): Promise<void> {
  for (const { mark, rounds, benches, about } of tables) {
    const rows = await runBenches(benches, await start());
    console.log(`\n${markdownTable(rows)}\n`);
    if (write) await keepTable(mark, rounds, rows, about);
  }
}

async function runBenches<S extends Stoppable>(benches: readonly Bench<S>[], stack: S): Promise<Row[]> {
  const rows: Row[] = [];
  try {
    for (const bench of benches) {
      const found = await bench.run(stack);
      for (const row of found)
        console.log(`${row.what}: ${row.measured}, ${row.ratio.toFixed(2)}× (reach ${row.reach})`);
      rows.push(...found);
    }
  } finally {
    await stack.stop();
  }
  return rows;
}
