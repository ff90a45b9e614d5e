import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Launched, processesNaming } from './support/launched.js';

describe('catena gc and import', () => {
  let directory: string;
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'catena-tools-'));
  });
  afterAll(() => rm(directory, { recursive: true, force: true }));

  const catena = (...args: string[]): Launched =>
    new Launched(args, { CATENA_DATA_DIR: join(directory, 'data') });

  it('work on the stores of the data directory, whether a stack runs on it or not', async () => {
    const alone = catena('gc');
    expect(await alone.ended, alone.output).toBe(0);
    expect(alone.output).toMatch(/│ runs kept, because a version refers to them +│ +0 │/);
    expect(processesNaming(directory)).toEqual([]);

    const stack = catena('start');
    const { registry } = await stack.urls();
    const created = await fetch(`${registry}/api/v1/models`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ name: 'mine' }),
    });
    expect(created.status).toBe(201);
    // The stack imports itself: the one model it has is not its own.
    const imported = catena('import', 'mlflow', '--from', registry);
    expect(await imported.ended, imported.output).toBe(1);
    expect(imported.output).toContain('! model "mine": there is already a model or prompt of that name here');
    const beside = catena('gc', '--dry-run');
    expect(await beside.ended, beside.output).toBe(0);
    stack.signal('SIGTERM');
    expect(await stack.ended).toBe(0);
  });

  it('say how they are used', async () => {
    const help = catena('import', 'mlflow', '--help');
    expect(await help.ended).toBe(0);
    expect(help.output).toMatch(/--from <uri>/);
    const wrong = catena('import', 'elsewhere', '--from', 'x');
    expect(await wrong.ended).toBe(1);
    expect(wrong.output).toMatch(/unknown command|too many arguments/);
  });
});
