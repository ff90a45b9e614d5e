import { expect } from 'vitest';
import { startTestRegistry, type Answer, type TestRegistry } from './registry.js';
import { createModelEndpoint, seedAlias, seedChain } from './serving.js';

/** An arm as a request names it. */
export const arm = (name: string, weightBps: number, chain: unknown = 'support@1') => ({
  name,
  chain,
  weightBps,
});

/** 50/50 between two versions. */
export const HALVES = [arm('a', 5000), arm('b', 5000, 'support@2')];

/** A registry with a model endpoint `gpu` and three versions of a chain `support`, the first of them `champion`. */
export class EndpointTests {
  private count = 0;

  private constructor(readonly registry: TestRegistry) {}

  static async start(overrides: Record<string, string> = {}): Promise<EndpointTests> {
    const registry = await startTestRegistry(overrides);
    await createModelEndpoint(registry, 'gpu');
    for (let i = 0; i < 3; i++) await seedChain(registry, 'support');
    await seedAlias(registry, 'support', 'champion', 1);
    return new EndpointTests(registry);
  }

  put = (name: string, body: object): Promise<Answer> =>
    this.registry.call('PUT', `/endpoints/${name}/split`, body);

  preview = (name: string, body: object): Promise<Answer> =>
    this.registry.call('POST', `/endpoints/${name}/split/preview`, body);

  rollback = (name: string, body: object): Promise<Answer> =>
    this.registry.call('POST', `/endpoints/${name}/split/rollback`, body);

  get = async (name: string) => (await this.registry.call('GET', `/endpoints/${name}`)).body;

  assigned = async (name: string, unit: string) =>
    (await this.registry.call('GET', `/endpoints/${name}/assignment?unit=${encodeURIComponent(unit)}`)).body;

  /** A new endpoint, with a split of these arms. Returns its name. */
  create = async (arms?: object[]): Promise<string> => {
    const name = `endpoint-${++this.count}`;
    expect((await this.registry.call('POST', '/endpoints', { name })).status).toBe(201);
    if (arms) expect((await this.put(name, { arms })).status).toBe(200);
    return name;
  };

  /** How many changes of the endpoint the feed holds. */
  changes = async (name: string): Promise<number> => {
    const { rows } = await this.registry.database.client.query(
      `SELECT count(*)::integer AS n FROM change c JOIN endpoint e ON e.id = c.noun_id
        WHERE c.noun = 'endpoint' AND e.name = $1`,
      [name],
    );
    return rows[0].n;
  };
}

/** Old and new owner of every bucket that changes hands between two answered splits. */
export function moved(before: any, after: any): (readonly [string, string])[] {
  const [was, is] = [owners(before), owners(after)];
  return was.map((owner, bucket) => [owner, is[bucket]!] as const).filter(([from, to]) => from !== to);
}

function owners(split: any): string[] {
  const found = Array<string>(10_000).fill('');
  for (const { name, ranges } of split.arms) for (const [start, end] of ranges) found.fill(name, start, end);
  return found;
}
