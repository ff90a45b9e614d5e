/**
 * `npm run fault-drill`: brings about what can fail between a gateway's row and a decision, with real processes on loopback, and prints
 * what was expected beside what was seen. Exit code 1 when they differ.
 *
 * `-- --outage-seconds 60` is how long PostgreSQL is down; `--only <part of a name>` chooses; `--write` puts the table into
 * docs/durability.md. Needs what `npm run test:kafka` needs.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { format } from 'prettier';
import { Checks } from './checks.js';
import { FAULTS } from './faults.js';
import { Stack } from './stack.js';

const PAGE = join(import.meta.dirname, '../../../docs/durability.md');
const MARK = '<!-- drill -->';

const { values } = parseArgs({
  options: {
    'outage-seconds': { type: 'string', default: '60' },
    only: { type: 'string', default: '' },
    write: { type: 'boolean', default: false },
  },
});
const outageSeconds = Number(values['outage-seconds']);

const lines = ['| fault | what | expected | seen |', '| --- | --- | --- | --- |'];
let wrong = 0;
let count = 0;
await using stack = await Stack.start();
for (const [name, bring] of Object.entries(FAULTS)) {
  if (!name.includes(values.only)) continue;
  const checks = new Checks(name);
  await bring(stack, checks, { outageSeconds });
  checks.all.forEach(({ what, expected, seen, isRight }, i) => {
    const line = [i === 0 ? name : '', what, expected, isRight ? seen : `**${seen}**`];
    lines.push(`| ${line.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`);
    count++;
    if (!isRight) wrong++;
  });
}
const table = (await format(lines.join('\n'), { parser: 'markdown' })).trim();
console.log(`\n${table}\n\n${count - wrong} of ${count} as expected`);
if (wrong > 0) process.exitCode = 1;
else if (values.write) {
  const page = await readFile(PAGE, 'utf8');
  const [before, , after] = page.split(MARK);
  await writeFile(PAGE, [before, `\n\n${table}\n\n`, after].join(MARK));
}
