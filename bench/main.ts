/**
 * `npm run bench [-- --quick] [-- --write]`: ratios against references measured in the same run, on the same machine, in
 * turns. `--quick` takes one round of each; `--write` keeps the table in docs/benchmarks.md.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { assignment } from './assignment.js';
import { chat, keepAlive, resolve, scale } from './http.js';
import { rows } from './rows.js';
import { markdownTable, type Row } from './support/report.js';
import { startStack } from './support/stack.js';

const { values: options } = parseArgs({
  options: { quick: { type: 'boolean', default: false }, write: { type: 'boolean', default: false } },
});
const rounds = options.quick ? 1 : 5;
const table: Row[] = [];
const keep = (found: Row[]): void => {
  for (const row of found)
    console.log(`${row.what}: ${row.measured}, ${row.ratio.toFixed(2)}× (reach ${row.reach})`);
  table.push(...found);
};

keep(await assignment(rounds));
const stack = await startStack();
try {
  keep(await resolve(stack, rounds));
  keep(await chat(stack, rounds));
  keep(await keepAlive(stack));
  keep(await rows(stack, rounds));
  keep(await scale(stack, rounds));
} finally {
  await stack.stop();
}

const text = markdownTable(table);
console.log(`\n${text}`);
if (options.write) {
  const page = 'docs/benchmarks.md';
  const MARKS = /(<!-- table -->)[\s\S]*?(<!-- \/table -->)/;
  const machine = `${new Date().toISOString().slice(0, 10)}, Node ${process.version}, ${availableParallelism()} × ${cpus()[0]?.model ?? 'unknown processor'}, ${rounds} rounds.`;
  const before = await readFile(page, 'utf8');
  if (!MARKS.test(before)) throw new Error(`${page} has no marks for the table.`);
  await writeFile(
    page,
    before.replace(MARKS, (_, open: string, close: string) => `${open}\n\n${machine}\n\n${text}\n\n${close}`),
  );
}
