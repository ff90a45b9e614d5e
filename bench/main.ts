/**
 * `npm run bench [-- --quick] [--write] [--only <name>]…`: ratios against references measured in the same run, on the same
 * machine, in turns. `--quick` takes one round of each; `--only` chooses, `--write` keeps the tables in docs/benchmarks.md.
 */
import { assignment } from './assignment.js';
import { callers } from './callers.js';
import { chat, keepAlive, resolve, scale } from './http.js';
import { portkey } from './portkey.js';
import { redisLimits } from './redis-limits.js';
import { replicas } from './replicas.js';
import { rows } from './rows.js';
import { streams } from './streams.js';
import { PORTKEY } from './support/portkey.js';
import { startStack, type Stack } from './support/stack.js';
import { chosen, runTables, readOptions, type Table } from './support/suite.js';

const options = readOptions();
const rounds = options.quick ? 1 : 9;
const few = Math.min(rounds, 3);

const tables: readonly Table<Stack>[] = [
  {
    mark: 'table',
    rounds,
    benches: [
      { name: 'assignment', run: () => assignment(rounds) },
      { name: 'resolve', run: (stack) => resolve(stack, rounds) },
      { name: 'chat', run: () => chat(rounds) },
      { name: 'callers', run: (stack) => callers(stack, rounds) },
      { name: 'redis-limits', run: () => redisLimits(few) },
      { name: 'keep-alive', run: (stack) => keepAlive(stack) },
      { name: 'rows', run: (stack) => rows(stack, rounds) },
      { name: 'replicas', run: (stack) => replicas(stack, few) },
      { name: 'scale', run: (stack) => scale(stack, rounds) },
    ],
  },
  {
    mark: 'portkey',
    rounds: few,
    about: `@portkey-ai/gateway ${PORTKEY}`,
    benches: [{ name: 'portkey', run: (stack) => portkey(stack, few) }],
  },
  {
    mark: 'streams',
    rounds: 1,
    benches: [{ name: 'streams', run: (stack) => streams(stack, options.quick ? 20 : 120) }],
  },
];
await runTables(chosen(tables, options.only, options.write), startStack, options.write);
