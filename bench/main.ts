/**
 * `npm run bench [-- --quick] [--write] [--only <name>]…`: ratios against references measured in the same run, on the same
 * machine, in turns. `--quick` takes one round of each; `--only` chooses, `--write` keeps the tables in docs/benchmarks.md.
 */
import { abTest } from './ab-test.js';
import { archive } from './archive.js';
import { assignment } from './assignment.js';
import { callers } from './callers.js';
import { feedback } from './feedback.js';
import { chat, keepAlive, resolve, scale } from './http.js';
import { ingest } from './ingest.js';
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
    mark: 'ingest',
    rounds: few,
    benches: [{ name: 'ingest', run: (stack) => ingest(stack, options.quick ? 15 : 300, few) }],
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
  {
    mark: 'archive',
    rounds: few,
    benches: [{ name: 'archive', run: (stack) => archive(stack, few, options.quick ? 100_000 : 1_000_000) }],
  },
  {
    mark: 'ab-test',
    rounds: 1,
    benches: [{ name: 'abtest', run: (stack) => abTest(stack, options.quick ? 200_000 : 10_000_000) }],
  },
  {
    mark: 'feedback',
    rounds: 1,
    benches: [{ name: 'feedback', run: (stack) => feedback(stack, options.quick ? 500_000 : 10_000_000) }],
  },
];
await runTables(chosen(tables, options.only, options.write), startStack, options.write);
