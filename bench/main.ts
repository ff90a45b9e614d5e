/**
 * `npm run bench [-- --quick] [-- --write]`: ratios against references measured in the same run, on the same machine, in
 * turns. `--quick` takes one round of each; `--write` keeps the table in docs/benchmarks.md.
 */
import { parseArgs } from 'node:util';
import { assignment } from './assignment.js';
import { chat, keepAlive, resolve, scale } from './http.js';
import { replicas } from './replicas.js';
import { rows } from './rows.js';
import { keepTable, markdownTable, type Row } from './support/report.js';
import { startStack } from './support/stack.js';

const { values: options } = parseArgs({
  options: { quick: { type: 'boolean', default: false }, write: { type: 'boolean', default: false } },
});
const rounds = options.quick ? 1 : 9;
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
  keep(await replicas(stack, Math.min(rounds, 3)));
  keep(await scale(stack, rounds));
} finally {
  await stack.stop();
}

console.log(`\n${markdownTable(table)}`);
if (options.write) await keepTable('table', rounds, table);
