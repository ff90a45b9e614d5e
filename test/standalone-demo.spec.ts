import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ACTIONS, TICKETS } from '../apps/standalone/src/demo/tickets.js';
import { Launched } from './support/launched.js';

describe('the tickets of the demo', () => {
  it('are a hundred different ones, each with an action that exists and a reference that it names', () => {
    expect(TICKETS).toHaveLength(100);
    expect(new Set(TICKETS.map(({ text }) => text)).size).toBe(100);
    expect(new Set(TICKETS.map(({ expected }) => expected.action))).toEqual(new Set(ACTIONS));
    for (const { text, expected } of TICKETS) {
      expect(ACTIONS).toContain(expected.action);
      expect(['low', 'normal', 'high']).toContain(expected.priority);
      if (expected.reference) expect(text).toContain(expected.reference);
    }
  });
});

describe('npm run demo', () => {
  let directory: string;
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'catena-demo-'));
  });
  afterAll(async () => rm(directory, { recursive: true, force: true }));

  const run = async () => {
    const demo = new Launched(['demo', '--exit'], { CATENA_DATA_DIR: directory, CATENA_SIMULATOR_PORT: '0' });
    expect(await demo.ended, demo.output).toBe(0);
    return demo.output;
  };
  /** The two figures of one row of the table. */
  const row = (output: string, title: string) => {
    const line = output.split('\n').find((candidate) => candidate.includes(`│ ${title} `));
    return line!
      .split('│')
      .slice(2, 4)
      .map((cell) => Number(cell.replaceAll(/[^0-9.]/g, '')));
  };

  /** The A/B test has counted these requests and no others, and says all that a result page says. */
  const expectResult = (output: string, requests: readonly number[]) => {
    const right = row(output, 'right action');
    const judged = row(output, 'feedback:right_action (primary)');
    expect(judged.map((share) => share * 100)).toEqual(right.map((share) => expect.closeTo(share, 0)));
    const customers = row(output, 'customers');
    expect(customers.every((units, at) => units > 25 && units <= requests[at]!)).toBe(true);
    expect(output).toMatch(/│ feedback:right_action \(primary\) .* %.* to .* % │/);
    expect(output).toMatch(/Sample ratio: {2}as the split says \(p = 0\.\d+\)/);
    expect(output).toMatch(/Decision: {6}(KEEP_RUNNING|SHIP|ROLL_BACK) \(\w+\)\n {2}\S.*\./);
  };

  it('compares two versions on real rows, says that the model is a simulator, and can be run again', async () => {
    const first = await run();
    expect(first).toContain('no GPU, no real model');
    expect(first).toContain('support-triage@1');
    const [v1, v2] = row(first, 'requests') as [number, number];
    expect(v1 + v2).toBe(100);
    expect(Math.min(v1, v2)).toBeGreaterThan(25); // customers are split, not tickets
    expect(row(first, 'answered')).toEqual([v1, v2]);
    const [valid1, valid2] = row(first, 'schema-valid') as [number, number];
    expect(valid2).toBe(100);
    expect(valid1).toBeGreaterThan(70);
    expect(valid1).toBeLessThan(100);
    // Both are asked in the same words; the second's mistakes are mended before the caller sees them.
    const rungs = ['at once', 'repaired', 'asked again', 'not at all'].map((title) =>
      row(first, `  ${title}`),
    );
    expect(rungs.map(([of1]) => of1! > 0)).toEqual([true, false, false, true]);
    expect(rungs[1]![1]! + rungs[2]![1]!).toBeGreaterThan(0);
    expect(rungs.reduce((sum, [, of2]) => sum + of2!, 0)).toBe(v2);
    expect(rungs[3]![1]).toBe(0);
    for (const title of ['latency p50', 'latency p95', 'input tokens', 'output tokens', 'cost'])
      for (const figure of row(first, title)) expect(figure, title).toBeGreaterThan(0);
    expect(first).not.toMatch(/"level":(50|60)/);
    expectResult(first, [v1, v2]);

    const second = await run();
    expect(second).not.toContain('support-triage@3');
    expect(row(second, 'requests')).toEqual([v1, v2]); // the same customers in the same arms
    expect(row(second, 'schema-valid')).toEqual([valid1, valid2]);
    expectResult(second, [v1, v2]);
  }, 120_000);
});
